// Watches the heartbeats: a node that is not heard for `lostAfterMs` is LOST, and so are its workloads, until it is heard again. Also ends
// sessions that are open but silent. Time is counted from when this
// process first knew of the node: neither core's own absence nor the moment between joining and the first session is the node's.
import type { Clock, Logger, Stoppable } from "@aether/kit";
import { sleep } from "@aether/kit";
import { sql } from "kysely";
import type { Db } from "../db/database.ts";
import type { Events } from "../events/events.ts";
import type { Gateway } from "./gateway.ts";
import { type Memory, writeHeard } from "./memory.ts";
import type { SignalIntake } from "./signal-intake.ts";
import type { WorkloadReports } from "./workload-reports.ts";

export interface MonitorOptions {
  readonly db: Db;
  readonly events: Events;
  readonly gateway: Gateway;
  readonly memory: Memory;
  readonly reports: Pick<WorkloadReports, "writeUsage">;
  readonly signals: SignalIntake;
  readonly clock: Clock;
  readonly log: Logger;
  readonly lostAfterMs: number;
}

const writeEveryMs = 5_000;
/** Writing heartbeats down may take this share of the time at most: a large fleet's are written less often. */
const busyShare = 0.05;
/** Nodes that are marked in one transaction: others have their turn between two. */
const lostAtOnce = 500;
/** So may the list of nodes, which is read for those that have no session. */
const listShare = 0.02;

export interface Monitor extends Stoppable {
  start(signal: AbortSignal): Promise<void>;
  /** One look at all nodes. */
  sweep(): Promise<void>;
}

export function createMonitor({ db, events, gateway, memory, reports, signals, clock, log, lostAfterMs }: MonitorOptions): Monitor {
  const stopping = new AbortController();
  const lastHeardMs = new Map<string, number>();
  let loop: Promise<void> = Promise.resolve();
  let writeAtMs = clock.monotonicMs() + writeEveryMs;
  let listAtMs = 0;

  /** In one transaction: an agent that comes back in this very moment says so before it or after it, and never in between. */
  async function markLost(nodeIds: readonly string[]): Promise<void> {
    const found = await db.transaction().execute(async (tx) => {
      const silent = nodeIds.filter((id) => !gateway.isHeard(id));
      if (silent.length === 0) return [];
      const marked = await tx
        .updateTable("nodes")
        .set({ lost_at: new Date(clock.nowMs()) })
        .where("id", "in", silent)
        .where("lost_at", "is", null)
        .returning(["id", "seen_at", "registered_at"])
        .execute();
      const back = marked.filter(({ id }) => gateway.isHeard(id)).map(({ id }) => id);
      if (back.length > 0) await tx.updateTable("nodes").set({ lost_at: null }).where("id", "in", back).execute();
      const lost = marked.filter(({ id }) => !back.includes(id));
      if (lost.length === 0) return [];
      const rows = await signals.nodesLost(
        tx,
        lost.map(({ id, seen_at, registered_at }) => ({ nodeId: id, observedAt: seen_at ?? registered_at })),
      );
      const traces = new Map(rows.map((row) => [row.node_id, row.trace_id]));
      const workloads = await tx
        .updateTable("workloads")
        .from("placements")
        .set({ state: "lost", health: "unknown", reason: sql<string>`'its node ' || placements.node_id || ' is not heard'` })
        .whereRef("placements.workload", "=", "workloads.name")
        .where("placements.is_active", "=", true)
        .where(
          "placements.node_id",
          "in",
          lost.map(({ id }) => id),
        )
        .where("workloads.state", "=", "running")
        .where("workloads.migration_id", "is", null)
        .returning(["workloads.name", "placements.node_id"])
        .execute();
      await events.append(
        tx,
        ...workloads.map(({ name, node_id: nodeId }) => ({
          type: "workload.lost",
          subject: `workload/${name}`,
          message: `${name} is lost: its node ${nodeId} is not heard`,
          data: { nodeId },
          traceId: traces.get(nodeId) ?? "",
        })),
      );
      return rows;
    });
    for (const signal of found) gateway.tellSignal(signal);
  }

  async function sweep(): Promise<void> {
    const nowMonotonic = clock.monotonicMs();
    for (const id of gateway.connectedNodes()) if (!lastHeardMs.has(id)) lastHeardMs.set(id, nowMonotonic);
    if (nowMonotonic >= listAtMs) {
      const present = new Set((await db.selectFrom("nodes").select("id").where("lost_at", "is", null).execute()).map(({ id }) => id));
      // However long it takes: a node that came and went between two looks is missed no later than one that fell silent.
      listAtMs = clock.monotonicMs() + Math.min(lostAfterMs, (clock.monotonicMs() - nowMonotonic) / listShare);
      for (const id of present) if (!lastHeardMs.has(id)) lastHeardMs.set(id, nowMonotonic);
      for (const id of lastHeardMs.keys()) if (!present.has(id) && !gateway.isConnected(id)) lastHeardMs.delete(id);
    }
    const silent: string[] = [];
    for (const [id, before] of lastHeardMs) {
      const heard = gateway.lastHeardMs(id) ?? before;
      lastHeardMs.set(id, heard);
      if (nowMonotonic - heard >= lostAfterMs) silent.push(id);
    }
    // A zone that is cut off takes hundreds with it.
    for (let from = 0; from < silent.length; from += lostAtOnce) {
      const some = silent.slice(from, from + lostAtOnce);
      for (const id of some) gateway.end(id);
      await markLost(some);
      for (const id of some) lastHeardMs.delete(id);
    }
    if (nowMonotonic >= writeAtMs) {
      const startedMs = clock.monotonicMs();
      await writeHeard(db, memory.takeHeard());
      await reports.writeUsage();
      const endedMs = clock.monotonicMs();
      writeAtMs = endedMs + Math.max(writeEveryMs, (endedMs - startedMs) / busyShare);
    }
  }

  return {
    sweep,
    async start(outer) {
      const signal = AbortSignal.any([outer, stopping.signal]);
      loop = (async () => {
        while (!signal.aborted) {
          await sleep(Math.min(1000, lostAfterMs / 4), signal).catch(() => undefined);
          if (!signal.aborted) await sweep().catch((caught: unknown) => log.error({ err: caught }, "watching the nodes failed"));
        }
      })();
    },
    async stop() {
      stopping.abort();
      await loop;
      await writeHeard(db, memory.takeHeard());
      await reports.writeUsage();
    },
  };
}
