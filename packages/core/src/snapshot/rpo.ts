// A workload that names a recovery point objective has a snapshot at least that often: the row of the next one is written when the last is older, and
// whoever carries out snapshots is woken. A failed one is not tried again before the objective has passed once more: it must not become a storm.
import { type Logger, sleep } from "@aether/kit";
import { sql } from "kysely";
import type { Db } from "../db/database.ts";
import type { Events } from "../events/events.ts";
import type { AgentSessions } from "../fleet/sessions.ts";
import { newId } from "../ids.ts";
import type { Part } from "../part.ts";
import { readPoliciesInForce } from "../policy/in-force.ts";

export interface RpoOptions {
  readonly db: Db;
  readonly events: Events;
  readonly sessions: Pick<AgentSessions, "isConnected">;
  /** Carries out the snapshots whose rows were written. */
  wake(): void;
  readonly nowMs: () => number;
  readonly log: Logger;
  /** Default 2000. */
  readonly sweepMs?: number;
}

export function createRpo(options: RpoOptions): Part & { stop(): Promise<void> } {
  const { db, events, sessions, nowMs, log, sweepMs = 2_000 } = options;
  const stopping = new AbortController();
  let loop: Promise<void> = Promise.resolve();

  async function sweep(): Promise<void> {
    const inForce = await readPoliciesInForce(db);
    const isOwnOnly = inForce.policies.every(({ settings }) => settings.rpoSeconds === undefined);
    let query = db
      .selectFrom("workloads")
      .innerJoin("placements", (join) => join.onRef("placements.workload", "=", "workloads.name").on("placements.is_active", "=", true))
      .leftJoin("snapshots", "snapshots.workload", "workloads.name")
      .select(({ fn }) => [
        "workloads.name",
        "workloads.spec",
        "workloads.started_at",
        "placements.node_id",
        "placements.epoch",
        fn.max("snapshots.created_at").as("last"),
      ])
      .where("workloads.state", "=", "running")
      .where("workloads.migration_id", "is", null)
      .groupBy(["workloads.name", "workloads.spec", "workloads.started_at", "placements.node_id", "placements.epoch"]);
    if (isOwnOnly) query = query.where(sql<boolean>`coalesce((workloads.spec->>'rpoSeconds')::bigint, 0) > 0`);
    const due = (await query.execute()).filter((row) => {
      const rpoMs = inForce.ofColumn(row.spec).rpoSeconds.value * 1000;
      return rpoMs > 0 && sessions.isConnected(row.node_id) && nowMs() - (row.last ?? row.started_at ?? new Date(0)).getTime() >= rpoMs;
    });
    for (const { name, spec, node_id, epoch } of due) {
      const id = newId("snap");
      await db.transaction().execute(async (tx) => {
        const made = {
          id,
          workload: name,
          spec: JSON.stringify(spec),
          state: "creating" as const,
          node_id,
          epoch: Number(epoch),
          cause: "rpo",
          max_freeze_ms: inForce.ofColumn(spec).maxFreezeMs.value,
        };
        await tx.insertInto("snapshots").values(made).execute();
        const message = `a snapshot of ${name} is made: its objective says so`;
        await events.append(tx, { type: "snapshot.creating", subject: `snapshot/${id}`, message, data: { workload: name, cause: "rpo" } });
      });
    }
    if (due.length > 0) options.wake();
  }

  return {
    async start(signal) {
      const ending = AbortSignal.any([signal, stopping.signal]);
      loop = (async () => {
        while (!ending.aborted) {
          await sweep().catch((caught: unknown) => {
            if (!ending.aborted) log.warn({ err: caught }, "snapshots that are due were not begun");
          });
          await sleep(sweepMs, ending).catch(() => undefined);
        }
      })();
    },
    async stop() {
      stopping.abort();
      await loop;
    },
  };
}
