// Watches the heartbeats: a node that is not heard for `lostAfterMs` is LOST, and so are its workloads, until it is heard again. Also ends
// sessions that are open but silent. Time is counted from when this
// process first knew of the node: neither core's own absence nor the moment between joining and the first session is the node's.
import type { Clock, Logger, Stoppable } from "@aether/kit";
import { sleep } from "@aether/kit";
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
  async function markLost(nodeId: string): Promise<void> {
    const signal = await db.transaction().execute(async (tx) => {
      if (gateway.isConnected(nodeId)) return undefined;
      const row = await tx
        .updateTable("nodes")
        .set({ lost_at: new Date(clock.nowMs()) })
        .where("id", "=", nodeId)
        .where("lost_at", "is", null)
        .returningAll()
        .executeTakeFirst();
      if (row === undefined) return undefined;
      const found = await signals.nodeLost(tx, nodeId, row.seen_at ?? row.registered_at);
      const workloads = await tx
        .updateTable("workloads")
        .from("placements")
        .set({ state: "lost", health: "unknown", reason: `its node ${nodeId} is not heard` })
        .whereRef("placements.workload", "=", "workloads.name")
        .where("placements.is_active", "=", true)
        .where("placements.node_id", "=", nodeId)
        .where("workloads.state", "=", "running")
        .where("workloads.migration_id", "is", null)
        .returning("workloads.name")
        .execute();
      await events.append(
        tx,
        ...workloads.map(({ name }) => ({
          type: "workload.lost",
          subject: `workload/${name}`,
          message: `${name} is lost: its node ${nodeId} is not heard`,
          data: { nodeId },
          traceId: found.trace_id,
        })),
      );
      return found;
    });
    if (signal !== undefined) gateway.tellSignal(signal);
  }

  async function sweep(): Promise<void> {
    const nowMonotonic = clock.monotonicMs();
    for (const id of gateway.connectedNodes()) if (!lastHeardMs.has(id)) lastHeardMs.set(id, nowMonotonic);
    if (nowMonotonic >= listAtMs) {
      const present = new Set((await db.selectFrom("nodes").select("id").where("lost_at", "is", null).execute()).map(({ id }) => id));
      listAtMs = clock.monotonicMs() + (clock.monotonicMs() - nowMonotonic) / listShare;
      for (const id of present) if (!lastHeardMs.has(id)) lastHeardMs.set(id, nowMonotonic);
      for (const id of lastHeardMs.keys()) if (!present.has(id) && !gateway.isConnected(id)) lastHeardMs.delete(id);
    }
    for (const [id, before] of lastHeardMs) {
      const heard = gateway.lastHeardMs(id) ?? before;
      lastHeardMs.set(id, heard);
      if (nowMonotonic - heard < lostAfterMs) continue;
      gateway.end(id);
      lastHeardMs.delete(id);
      await markLost(id);
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
