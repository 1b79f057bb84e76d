// What agents say about workloads, written down: phase, health, usage. Only the node of the active placement is believed, only in its epoch,
// and only what changed is written: heartbeats come every second.

import type { WorkloadStatus } from "@aether/contract/gen/aether/v2/agent_pb";
import { HealthState } from "@aether/contract/gen/aether/v2/common_pb";
import { type WorkloadPreflight, WorkloadPreflightSchema } from "@aether/contract/gen/aether/v2/preflight_pb";
import { type WorkloadUsage, WorkloadUsageSchema } from "@aether/contract/gen/aether/v2/workload_pb";
import { create, type JsonValue, toJson } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { type Kysely, sql } from "kysely";
import type { Db } from "../db/database.ts";
import { createGroup } from "../db/group.ts";
import { fromColumnOrNone } from "../db/proto.ts";
import type { Database } from "../db/schema.ts";
import type { HealthText, WorkloadStateText } from "../db/tables/workloads.ts";
import type { Events, NewEvent } from "../events/events.ts";

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
  /** Writes what workloads use, as last heard; called every few seconds. */
  writeUsage(): Promise<void>;
}

interface Report {
  readonly nodeId: string;
  readonly status: WorkloadStatus;
}

/** Rows in one statement: others have their turn between two. */
const usageAtOnce = 500;

export function createWorkloadReports(db: Db, events: Events, nowMs: () => number): WorkloadReports {
  /** By node, then by workload. */
  const seen = new Map<string, Map<string, string>>();
  let used = new Map<string, { readonly name: string; readonly nodeId: string; readonly epoch: number; readonly usage: WorkloadUsage }>();

  /** Hundreds of agents may come back at once: their reports are compared with the rows together. */
  const keep = createGroup(async (reports: readonly Report[]) => {
    await db.transaction().execute((tx) => keepAll(tx, reports));
    return reports;
  });

  async function keepAll(tx: Kysely<Database>, reports: readonly Report[]): Promise<void> {
    const rows = await tx
      .selectFrom("workloads")
      .innerJoin("placements", (join) => join.onRef("placements.workload", "=", "workloads.name").on("placements.is_active", "=", true))
      .select(["workloads.name", "workloads.state", "workloads.health", "workloads.reason", "workloads.migration_id"])
      .select(["workloads.preflight", "placements.node_id", "placements.epoch"])
      .where(
        "workloads.name",
        "in",
        reports.map(({ status }) => status.name),
      )
      .execute();
    const byName = new Map(rows.map((row) => [row.name, row]));
    const told: NewEvent[] = [];
    const changes = new Map<string, Change>();
    // In one order: two transactions that lock rows in different orders could wait for each other.
    for (const { nodeId, status } of [...reports].sort((a, b) => (a.status.name < b.status.name ? -1 : 1))) {
      const row = byName.get(status.name);
      if (row === undefined || row.node_id !== nodeId || row.epoch !== Number(status.epoch)) continue;
      const change: Omit<Change, "name"> = {};
      if (status.preflight !== undefined) {
        change.preflight = toJson(WorkloadPreflightSchema, status.preflight);
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
      if (Object.keys(change).length === 0) continue;
      changes.set(status.name, { ...changes.get(status.name), name: status.name, ...change });
      // A second report of the same workload in this group is compared with what the first one made of it.
      byName.set(status.name, {
        ...row,
        health,
        state: state ?? row.state,
        ...(change.preflight === undefined ? {} : { preflight: change.preflight }),
      });
    }
    await write(tx, [...changes.values()]);
    await events.append(tx, ...told);
  }

  async function takeOne(nodeId: string, status: WorkloadStatus): Promise<void> {
    const { name, usage, preflight } = status;
    if (usage !== undefined)
      used.set(`${nodeId} ${name}`, { name, nodeId, epoch: Number(status.epoch), usage: measuredNow(usage, nowMs()) });
    const own = seen.get(nodeId) ?? new Map<string, string>();
    const facts = `${status.epoch} ${status.phase} ${status.health} ${status.exitCode} ${status.migrationId}`;
    if (own.get(name) === facts && preflight === undefined) return;
    await keep({ nodeId, status });
    own.set(name, facts);
    seen.set(nodeId, own);
  }

  return {
    async take(nodeId, statuses) {
      await Promise.all(statuses.map((status) => takeOne(nodeId, status)));
    },
    forget(nodeId) {
      seen.delete(nodeId);
    },
    async writeUsage() {
      const all = [...used.values()].map((each) => ({ ...each, usage: toJson(WorkloadUsageSchema, each.usage) }));
      used = new Map();
      for (let from = 0; from < all.length; from += usageAtOnce) {
        await sql`update workloads set usage = told.usage
          from jsonb_to_recordset(${JSON.stringify(all.slice(from, from + usageAtOnce))}::jsonb)
            as told(name text, "nodeId" text, epoch bigint, usage jsonb), placements
          where workloads.name = told.name and placements.workload = told.name and placements.is_active
            and placements.node_id = told."nodeId" and placements.epoch = told.epoch`.execute(db);
      }
    },
  };
}

/** What is not in it stays as it is. */
interface Change {
  readonly name: string;
  preflight?: JsonValue;
  health?: HealthText;
  state?: WorkloadStateText;
  reason?: string;
  exit_code?: number | null;
}

/** In one statement: a fleet that has come back says something of each of its workloads. */
async function write(tx: Kysely<Database>, changes: readonly Change[]): Promise<void> {
  if (changes.length === 0) return;
  await sql`update workloads set
      preflight = coalesce(told.preflight, workloads.preflight), health = coalesce(told.health, workloads.health),
      state = coalesce(told.state, workloads.state), reason = coalesce(told.reason, workloads.reason),
      exit_code = case when told.state is null then workloads.exit_code else told.exit_code end
    from jsonb_to_recordset(${JSON.stringify(changes)}::jsonb)
      as told(name text, preflight jsonb, health text, state text, reason text, exit_code integer)
    where workloads.name = told.name`.execute(tx);
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
