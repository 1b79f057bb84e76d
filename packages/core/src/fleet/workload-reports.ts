// What agents say about workloads, written down: phase, health, usage. Only the node of the active placement is believed, only in its epoch,
// and only what changed is written: heartbeats come every second.

import type { WorkloadStatus } from "@aether/contract/gen/aether/v2/agent_pb";
import { HealthState } from "@aether/contract/gen/aether/v2/common_pb";
import { type WorkloadPreflight, WorkloadPreflightSchema } from "@aether/contract/gen/aether/v2/preflight_pb";
import { type WorkloadUsage, WorkloadUsageSchema } from "@aether/contract/gen/aether/v2/workload_pb";
import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { Db } from "../db/database.ts";
import { fromColumnOrNone, toColumn } from "../db/proto.ts";
import type { HealthText, RowChange, WorkloadStateText } from "../db/schema.ts";
import type { Events, NewEvent } from "../events/events.ts";

/** Usage is for people: at most this often. */
const usageEveryMs = 5_000;

const healthTexts: Readonly<Record<HealthState, HealthText>> = {
  [HealthState.UNSPECIFIED]: "unknown",
  [HealthState.UNKNOWN]: "unknown",
  [HealthState.PASSING]: "passing",
  [HealthState.FAILING]: "failing",
};

export interface WorkloadReports {
  take(nodeId: string, statuses: readonly WorkloadStatus[]): Promise<void>;
  /** What was seen is forgotten: the next report is compared with the rows again. */
  forget(nodeId: string): void;
}

export function createWorkloadReports(db: Db, events: Events, nowMs: () => number): WorkloadReports {
  const seen = new Map<string, { nodeId: string; facts: string; usageAtMs: number }>();

  async function takeOne(nodeId: string, status: WorkloadStatus): Promise<void> {
    const before = seen.get(`${nodeId}/${status.name}`);
    const facts = JSON.stringify([Number(status.epoch), status.phase, status.health, status.exitCode, status.migrationId]);
    const isUsageDue = status.usage !== undefined && nowMs() - (before?.usageAtMs ?? 0) >= usageEveryMs;
    if (before?.facts === facts && !isUsageDue && status.preflight === undefined) return;
    await db.transaction().execute(async (tx) => {
      const row = await tx
        .selectFrom("workloads")
        .innerJoin("placements", (join) => join.onRef("placements.workload", "=", "workloads.name").on("placements.is_active", "=", true))
        .select([
          "workloads.state",
          "workloads.health",
          "workloads.reason",
          "workloads.migration_id",
          "workloads.preflight",
          "placements.node_id",
          "placements.epoch",
        ])
        .where("workloads.name", "=", status.name)
        .executeTakeFirst();
      if (row === undefined || row.node_id !== nodeId || row.epoch !== Number(status.epoch)) return;
      const change: RowChange<"workloads"> = {};
      const told: NewEvent[] = [];
      if (status.usage !== undefined) change.usage = toColumn(WorkloadUsageSchema, measuredNow(status.usage, nowMs()));
      if (status.preflight !== undefined) {
        change.preflight = toColumn(WorkloadPreflightSchema, status.preflight);
        const verdict = verdictChange(status.name, fromColumnOrNone(WorkloadPreflightSchema, row.preflight), status.preflight, nodeId);
        if (verdict !== undefined) told.push(verdict);
      }
      const health = healthTexts[status.health];
      if (health !== row.health) {
        change.health = health;
        if (health !== "unknown")
          told.push(event(status.name, "workload.health", `${status.name} is ${health === "passing" ? "healthy" : "not healthy"}`, nodeId));
      }
      const state = row.migration_id === null ? stateAfter(row.state, status.phase) : undefined;
      if (state !== undefined) {
        change.state = state;
        change.reason = state === "exited" ? `its process ended by itself with code ${status.exitCode}` : "";
        change.exit_code = state === "exited" ? status.exitCode : null;
        const text =
          state === "exited" ? `${status.name} ended by itself with code ${status.exitCode}` : `${status.name} is ${state} on ${nodeId}`;
        told.push(event(status.name, `workload.${state}`, text, nodeId));
      }
      if (Object.keys(change).length > 0) await tx.updateTable("workloads").set(change).where("name", "=", status.name).execute();
      await events.append(tx, ...told);
    });
    seen.set(`${nodeId}/${status.name}`, { nodeId, facts, usageAtMs: isUsageDue ? nowMs() : (before?.usageAtMs ?? 0) });
  }

  return {
    async take(nodeId, statuses) {
      for (const status of statuses) await takeOne(nodeId, status);
    },
    forget(nodeId) {
      for (const [key, entry] of seen) if (entry.nodeId === nodeId) seen.delete(key);
    },
  };
}

/** What stands in the way is told when it comes, and when it has gone. */
function verdictChange(
  name: string,
  before: WorkloadPreflight | undefined,
  after: WorkloadPreflight,
  nodeId: string,
): NewEvent | undefined {
  const codesOf = (preflight: WorkloadPreflight | undefined) =>
    [...new Set((preflight?.report?.blockers ?? []).map(({ code }) => code))].sort().join(", ");
  const [was, is] = [codesOf(before), codesOf(after)];
  if (was === is) return undefined;
  const first = after.report?.blockers[0];
  const message =
    first === undefined ? `nothing stands in the way of a move of ${name} any more` : `${name} cannot be moved: ${first.message} (${is})`;
  return event(name, first === undefined ? "workload.movable" : "workload.blocked", message, nodeId);
}

/** Undefined: no change. A start in progress is ended by its own answer, a state that a person must look at by that person. */
function stateAfter(state: WorkloadStateText, phase: string): WorkloadStateText | undefined {
  if (state === "starting" || state === "migrating" || state === "needs_operator") return undefined;
  const next: WorkloadStateText | undefined =
    phase === "running" ? "running" : phase === "exited" ? "exited" : phase === "stopped" ? "stopped" : undefined;
  // What failed on our side is not "stopped" because its remains are still there.
  if (next === undefined || next === state || (state === "failed" && next !== "running")) return undefined;
  return next;
}

const measuredNow = (usage: WorkloadUsage, atMs: number): WorkloadUsage =>
  usage.measuredAt ? usage : create(WorkloadUsageSchema, { ...usage, measuredAt: timestampFromMs(atMs) });

const event = (name: string, type: string, message: string, nodeId: string): NewEvent => ({
  type,
  subject: `workload/${name}`,
  message,
  data: { nodeId },
});
