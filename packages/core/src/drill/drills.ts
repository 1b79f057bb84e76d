// DrillService: rehearsed interruptions, and what clients with an oracle saw.
import { Fault, fault, parseNodeId } from "@aether/contract";
import { DrillCheckSchema, DrillKind, DrillSchema, DrillService } from "@aether/contract/gen/aether/v2/drill_pb";
import { faultpoint, type Logger } from "@aether/kit";
import { create } from "@bufbuild/protobuf";
import type { Db } from "../db/database.ts";
import type { Row } from "../db/schema.ts";
import { isUniqueViolation } from "../db/statement-error.ts";
import type { Events } from "../events/events.ts";
import { requireNode } from "../fleet/node-store.ts";
import type { AgentSessions } from "../fleet/sessions.ts";
import { cutPage, parsePage } from "../http/page-request.ts";
import { newId } from "../ids.ts";
import type { Part } from "../part.ts";
import { checkReport } from "./check-report.ts";
import type { Injector } from "./injector.ts";
import { createOracleRing } from "./oracle.ts";
import { advanceDrill, endDrill } from "./run.ts";
import { addSample, kindText, reportColumn, reportOf, toDrill } from "./store.ts";

export interface DrillsOptions {
  readonly db: Db;
  readonly events: Events;
  readonly sessions: Pick<AgentSessions, "isConnected">;
  readonly injector: Injector;
  /** False: nothing can be announced, and no drill begins. */
  readonly canAnnounce: boolean;
  readonly nowMs: () => number;
  readonly log: Logger;
  /** Default 250. */
  readonly lookMs?: number;
  /** Called when a client has said what it saw. */
  readonly onReport?: () => void;
}

const samplesKeptMs = 60 * 60_000;

export function createDrills(options: DrillsOptions): Part & { stop(): Promise<void> } {
  const { db, events, sessions, injector, nowMs, log, lookMs = 250 } = options;
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

  async function begin(nodeId: string, kind: "notice" | "rebalance", windowSeconds: number): Promise<string> {
    const id = newId("drl", nowMs());
    try {
      await db.transaction().execute(async (tx) => {
        await tx
          .insertInto("drills")
          .values({ id, kind, node_id: nodeId, state: "running", window_seconds: windowSeconds, started_at: new Date(nowMs()) })
          .execute();
        await events.append(tx, {
          type: "drill.started",
          subject: `drill/${id}`,
          message: `a drill announces the ${kind === "notice" ? `interruption of ${nodeId} in ${windowSeconds} s` : `rebalance of ${nodeId}`}`,
          data: { nodeId, kind, windowSeconds },
        });
      });
    } catch (caught) {
      if (!isUniqueViolation(caught, "drills_one_running")) throw caught;
      const other = await db
        .selectFrom("drills")
        .select("id")
        .where("node_id", "=", nodeId)
        .where("state", "=", "running")
        .executeTakeFirst();
      throw fault("DRILL_RUNNING", `a drill runs on ${nodeId} already`, { field: "node_id", details: { drillId: other?.id ?? "" } });
    }
    await faultpoint("core.drill.before_announce");
    try {
      await injector.announce(nodeId, kind, windowSeconds, stopping.signal);
    } catch (caught) {
      const problem = Fault.from(caught);
      const report = create(DrillSchema, {
        checks: [create(DrillCheckSchema, { name: "announced", isPassed: false, detail: problem.message })],
      });
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
    routes(router) {
      router.service(DrillService, {
        async startDrill({ kind, nodeId, windowSeconds }) {
          const text = kindText(kind);
          if (text === undefined)
            throw fault("INVALID_ARGUMENT", `kind must be NOTICE or REBALANCE, not ${DrillKind[kind] ?? kind}`, { field: "kind" });
          const node = await requireNode(db, parseNodeId(nodeId, "node_id"), "node_id");
          const seconds = windowSeconds || 120;
          if (seconds < 10 || seconds > 3_600) {
            throw fault("INVALID_ARGUMENT", `window_seconds must be 10 to 3600, not ${seconds}`, { field: "window_seconds" });
          }
          if (!options.canAnnounce) throw fault("DRILL_UNAVAILABLE", "drill.injector is not configured");
          if (!sessions.isConnected(node.id))
            throw fault("NODE_NOT_CONNECTED", `${node.id} has no session: it would not report what it hears`);
          return { drill: toDrill(await read(await begin(node.id, text, seconds))) };
        },
        async getDrill({ id }) {
          return { drill: toDrill(await read(id)) };
        },
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
        // Whether it was announced before the process died is not known; announcing again what is announced changes nothing.
        const leftSeconds = Math.round((row.started_at.getTime() + row.window_seconds * 1000 - nowMs()) / 1000);
        if (row.signal_id !== null || reportOf(row).checks.length > 0 || leftSeconds < 10) continue;
        const isHeard = await db
          .selectFrom("signals")
          .select("id")
          .where("node_id", "=", row.node_id)
          .where("received_at", ">=", row.started_at)
          .executeTakeFirst();
        if (isHeard) continue;
        injector
          .announce(row.node_id, row.kind, leftSeconds, stopping.signal)
          .catch((caught: unknown) => log.warn({ err: caught, drill: row.id }, "drill.not_announced_again"));
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
