// DrillService: rehearsed interruptions, and what clients with an oracle saw.
import { Fault, fault } from "@aether/contract";
import { DrillCheckSchema, DrillSchema, DrillService, type StartDrillRequest } from "@aether/contract/gen/aether/v2/drill_pb";
import { faultpoint, type Logger } from "@aether/kit";
import type { IdentitySource } from "@aether/kit/identity";
import { create } from "@bufbuild/protobuf";
import type { Audit } from "../audit/audit.ts";
import type { Db } from "../db/database.ts";
import type { Row } from "../db/schema.ts";
import { isUniqueViolation } from "../db/statement-error.ts";
import type { Events } from "../events/events.ts";
import type { AgentSessions } from "../fleet/sessions.ts";
import { callerOf } from "../http/caller.ts";
import { cutPage, parsePage } from "../http/page-request.ts";
import { newId } from "../ids.ts";
import type { Part } from "../part.ts";
import { checkReport } from "./check-report.ts";
import { checkStart } from "./check-start.ts";
import type { Injector } from "./injector.ts";
import { kindWords } from "./kinds.ts";
import { createOracleRing } from "./oracle.ts";
import { predict } from "./prediction.ts";
import { makeReport } from "./report.ts";
import { advanceDrill, endDrill } from "./run.ts";
import { announce } from "./stage.ts";
import { addSample, reportColumn, reportOf, toDrill } from "./store.ts";

export interface DrillsOptions {
  readonly db: Db;
  readonly events: Events;
  readonly audit: Pick<Audit, "record">;
  readonly sessions: Pick<AgentSessions, "isConnected" | "send">;
  readonly injector: Injector;
  /** False: nothing can be announced, and no drill begins. */
  readonly canAnnounce: boolean;
  /** A price has changed: everything is assessed again. */
  readonly assess: () => Promise<unknown>;
  readonly identity: IdentitySource;
  readonly trustDomain: string;
  readonly nowMs: () => number;
  readonly log: Logger;
  /** Default 250. */
  readonly lookMs?: number;
  /** Called when a client has said what it saw. */
  readonly onReport?: () => void;
}

const samplesKeptMs = 60 * 60_000;

export interface Drills extends Part {
  stop(): Promise<void>;
  /** As StartDrill does; answers its id. Throws what StartDrill throws. */
  begin(wanted: StartDrillRequest, by: BegunBy): Promise<string>;
}

interface BegunBy {
  /** Undefined: a person, or a runbook. */
  readonly schedule?: { readonly id: string; readonly name: string };
  readonly cause?: string | undefined;
}

export function createDrills(options: DrillsOptions): Drills {
  const { db, events, audit, nowMs, log, lookMs = 250 } = options;
  const ring = createOracleRing({ reportsEach: 900, oracles: 50 });
  const running = new Set<string>();
  const stopping = new AbortController();
  let looking: Promise<void> | undefined;
  let timer: NodeJS.Timeout | undefined;

  const read = async (id: string): Promise<Row<"drills">> => {
    const row = await db.selectFrom("drills").selectAll().where("id", "=", id).executeTakeFirst();
    if (row === undefined) throw fault("DRILL_NOT_FOUND", `there is no drill ${JSON.stringify(id.slice(0, 60))}`, { field: "id" });
    return row;
  };

  async function look(): Promise<void> {
    for (const id of [...running]) {
      try {
        if (await advanceDrill(options, id, stopping.signal)) running.delete(id);
      } catch (caught) {
        if (!stopping.signal.aborted) log.error({ err: caught, drill: id }, "drill.look.failed");
      }
    }
  }

  const lookSoon = () => {
    if (looking !== undefined || running.size === 0) return;
    looking = look().finally(() => {
      looking = undefined;
    });
  };

  const prune = () =>
    db
      .deleteFrom("oracle_samples")
      .where("until", "<", new Date(nowMs() - samplesKeptMs))
      .execute();

  async function begin(wanted: StartDrillRequest, { schedule, cause = "" }: BegunBy): Promise<string> {
    const scheduleId = schedule?.id ?? "";
    const { kind, nodeId, windowSeconds, staged } = await checkStart(options, wanted);
    const id = newId("drl", nowMs());
    const report = create(DrillSchema, { ...staged, scheduleId, cause, predictions: await predict(db, nodeId) });
    const row = await db
      .transaction()
      .execute(async (tx) => {
        const made = await tx
          .insertInto("drills")
          .values({
            id,
            kind,
            node_id: nodeId,
            state: "running",
            window_seconds: windowSeconds,
            started_at: new Date(nowMs()),
            report: reportColumn(report),
          })
          .returningAll()
          .executeTakeFirstOrThrow();
        await events.append(tx, {
          type: "drill.started",
          subject: `drill/${id}`,
          message: `a drill on ${nodeId} begins: ${kindWords[kind]}, ${windowSeconds} s`,
          data: { nodeId, kind, windowSeconds, ...(scheduleId === "" ? {} : { scheduleId }) },
        });
        // One that somebody has asked for is that one's act, and is recorded as such.
        if (schedule !== undefined) {
          const entry = { action: "drill.start", subject: `drill/${id}`, outcome: "ok" } as const;
          await audit.record({ ...entry, actor: `drill-schedule/${schedule.name}`, data: { scheduleId, nodeId, kind } }, tx);
        }
        return made;
      })
      .catch(async (caught: unknown) => {
        if (!isUniqueViolation(caught, "drills_one_running")) throw caught;
        const other = await db
          .selectFrom("drills")
          .select("id")
          .where("node_id", "=", nodeId)
          .where("state", "=", "running")
          .executeTakeFirst();
        throw fault("DRILL_RUNNING", `a drill runs on ${nodeId} already`, { field: "node_id", details: { drillId: other?.id ?? "" } });
      });
    await faultpoint("core.drill.before_announce");
    try {
      await announce(options, row, report, windowSeconds, stopping.signal);
    } catch (caught) {
      const problem = Fault.from(caught);
      report.checks = [create(DrillCheckSchema, { name: "announced", isPassed: false, detail: problem.message })];
      await db
        .updateTable("drills")
        .set({ state: "failed", ended_at: new Date(nowMs()), report: reportColumn(report) })
        .where("id", "=", id)
        .execute();
      throw problem;
    }
    running.add(id);
    await prune();
    return id;
  }

  return {
    begin,
    routes(router) {
      router.service(DrillService, {
        startDrill: async (request, context) => ({ drill: toDrill(await read(await begin(request, { cause: callerOf(context).cause }))) }),
        getDrill: async ({ id }) => ({ drill: toDrill(await read(id)) }),
        getDrillReport: async ({ id }) => makeReport(options, await read(id)),
        async listDrills({ page }) {
          const { limit, after } = parsePage(page);
          let query = db
            .selectFrom("drills")
            .selectAll()
            .orderBy("id", "desc")
            .limit(limit + 1);
          if (after !== undefined) query = query.where("id", "<", after);
          const { rows, nextPageToken } = cutPage(await query.execute(), limit, (row) => row.id);
          return { drills: rows.map(toDrill), nextPageToken };
        },
        async stopDrill({ id }, context) {
          await read(id);
          await endDrill(options, id, "stopped", AbortSignal.any([stopping.signal, context.signal]));
          running.delete(id);
          return { drill: toDrill(await read(id)) };
        },
        async reportOracle({ report }) {
          const checked = checkReport(report, nowMs());
          ring.add(checked);
          options.onReport?.();
          if (running.size > 0) await addSample(db, checked);
          return {};
        },
        async listOracles({ seconds }) {
          if (seconds > 900) throw fault("INVALID_ARGUMENT", `seconds must be at most 900, not ${seconds}`, { field: "seconds" });
          return { oracles: ring.list(nowMs() - (seconds || 120) * 1000) };
        },
      });
    },
    async start() {
      const rows = await db.selectFrom("drills").selectAll().where("state", "=", "running").execute();
      for (const row of rows) {
        running.add(row.id);
        const report = reportOf(row);
        // Whether it was announced before the process died is not known; announcing again what is announced changes nothing.
        const leftSeconds = Math.round((row.started_at.getTime() + row.window_seconds * 1000 - nowMs()) / 1000);
        if (row.signal_id !== null || report.checks.length > 0 || leftSeconds < 10) continue;
        const isHeard = await db
          .selectFrom("signals")
          .select("id")
          .where("node_id", "=", row.node_id)
          .where("received_at", ">=", row.started_at)
          .executeTakeFirst();
        if (isHeard) continue;
        announce(options, row, report, leftSeconds, stopping.signal).catch((caught: unknown) =>
          log.warn({ err: caught, drill: row.id }, "drill.not_announced_again"),
        );
      }
      await db
        .deleteFrom("oracle_samples")
        .where("until", "<", new Date(nowMs() - samplesKeptMs))
        .execute();
      timer = setInterval(lookSoon, lookMs);
    },
    async stop() {
      clearInterval(timer);
      stopping.abort(fault("CANCELLED", "the control plane stops"));
      await looking;
    },
  };
}
