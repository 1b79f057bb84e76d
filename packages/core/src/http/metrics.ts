// /metrics in the Prometheus text format (https://prometheus.io/docs/instrumenting/exposition_formats/): only numbers that were counted.
import { fault, Role } from "@aether/contract";
import type { FastifyInstance } from "fastify";
import { type RateLimit, tooManyFrom } from "../access/rate-limit.ts";
import { isAllowed, roleOfBearer } from "../access/roles.ts";
import type { Tokens } from "../access/tokens.ts";
import type { Db } from "../db/database.ts";
import type { AgentSessions } from "../fleet/sessions.ts";
import type { Telemetry } from "../telemetry/telemetry.ts";
import { originOf } from "./origin.ts";
import { sendFault } from "./rest/transcoding.ts";

export interface RequestCounter {
  count(method: string, code: string): void;
  entries(): Iterable<readonly [method: string, code: string, count: number]>;
}

export function createRequestCounter(): RequestCounter {
  const counts = new Map<string, number>();
  return {
    count(method, code) {
      const key = `${method} ${code}`;
      counts.set(key, (counts.get(key) ?? 0) + 1);
    },
    *entries() {
      for (const [key, count] of counts) {
        const [method = "", code = ""] = key.split(" ");
        yield [method, code, count];
      }
    },
  };
}

export interface MetricsSources {
  readonly db: Db;
  readonly sessions: Pick<AgentSessions, "connectedNodes">;
  readonly requests: RequestCounter;
  readonly telemetry: Pick<Telemetry, "counts">;
}

export interface MetricsOptions extends MetricsSources {
  readonly tokens: Pick<Tokens, "authenticate">;
  readonly perAddress: RateLimit;
}

export function metricsRoutes({ tokens, perAddress, ...sources }: MetricsOptions): (app: FastifyInstance) => void {
  return (app) => {
    app.get("/metrics", async (request, reply) => {
      const origin = originOf(request.raw);
      const waitSeconds = perAddress.take(origin.sourceAddress);
      if (waitSeconds > 0) return sendFault(reply, tooManyFrom(waitSeconds, `the address ${origin.sourceAddress}`), origin);
      const secret = /^Bearer (\S{1,200})$/i.exec(request.headers.authorization ?? "")?.[1];
      const bearer = secret === undefined ? undefined : await tokens.authenticate(secret);
      if (bearer === undefined || bearer.role === "agent" || !isAllowed(Role.VIEWER, roleOfBearer[bearer.role])) {
        return sendFault(reply, fault("UNAUTHENTICATED"), origin);
      }
      return reply.type("text/plain; version=0.0.4; charset=utf-8").send(await metricsText(sources));
    });
  };
}

/** All of them, as Prometheus reads them. */
export async function metricsText({ db, sessions, requests, telemetry }: MetricsSources): Promise<string> {
  const memory = process.memoryUsage();
  const lines = [
    gauge("process_resident_memory_bytes", "Resident memory.", [["", memory.rss]]),
    gauge("process_start_time_seconds", "Start of the process, unix time.", [["", Date.now() / 1000 - process.uptime()]]),
    gauge("aether_nodes_connected", "Nodes with a session.", [["", sessions.connectedNodes().length]]),
    gauge("aether_nodes", "Nodes on record.", [["", await count(db, "nodes")]]),
    gauge("aether_workloads", "Workloads by state.", await countBy(db, "workloads")),
    gauge("aether_migrations", "Migrations by state.", await countBy(db, "migrations")),
    counter("aether_telemetry_samples_total", "Samples of nodes and workloads since the start, by what became of them.", [
      ['{outcome="written"}', telemetry.counts().written],
      ['{outcome="lost"}', telemetry.counts().lost],
    ]),
    counter(
      "aether_requests_total",
      "Requests by method and outcome since the start.",
      [...requests.entries()].map(([method, code, value]) => [`{method="${method}",code="${code}"}`, value]),
    ),
  ];
  return `${lines.join("\n")}\n`;
}

async function count(db: Db, table: "nodes"): Promise<number> {
  const row = await db
    .selectFrom(table)
    .select(({ fn }) => fn.countAll().as("count"))
    .executeTakeFirstOrThrow();
  return Number(row.count);
}

async function countBy(db: Db, table: "workloads" | "migrations"): Promise<[string, number][]> {
  const rows = await db
    .selectFrom(table)
    .select(["state", ({ fn }) => fn.countAll().as("count")])
    .groupBy("state")
    .execute();
  return rows.map((row) => [`{state="${row.state}"}`, Number(row.count)]);
}

type Sample = readonly [labels: string, value: number];
const metric = (type: string) => (name: string, help: string, samples: readonly Sample[]) =>
  [`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`, ...samples.map(([labels, value]) => `${name}${labels} ${value}`)].join("\n");
const gauge = metric("gauge");
const counter = metric("counter");
