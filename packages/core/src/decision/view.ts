// Everything that a batch of signals is decided by, read in a handful of queries whatever the batch's size.
import { WorkloadPreflightSchema } from "@aether/contract/gen/aether/v2/preflight_pb";
import { WorkloadSpecSchema } from "@aether/contract/gen/aether/v2/workload_pb";
import type { Kysely } from "kysely";
import { timesOf } from "../certificate/times.ts";
import { fromColumn, fromColumnOrNone } from "../db/proto.ts";
import type { Database } from "../db/schema.ts";
import { isInWindow, leftRecently, openCircuits, type RailLimits, resting } from "../guard/rails.ts";
import { readGuards, readPastMoves, toWindow } from "../guard/store.ts";
import { hasSharedVolume, memoryOf, readNodeViews } from "../migration/fleet-view.ts";
import { poolsUnderSignal, type ScoreContext } from "../migration/plan.ts";
import { readPoliciesInForce } from "../policy/in-force.ts";
import type { DecisionInput, RailsView, WorkloadView } from "./input.ts";

export interface PlacedWorkloads {
  readonly byNode: ReadonlyMap<string, readonly WorkloadView[]>;
  readonly epochs: ReadonlyMap<string, number>;
}

export async function readPlaced(db: Kysely<Database>, nodeIds: readonly string[]): Promise<PlacedWorkloads> {
  const byNode = new Map<string, WorkloadView[]>(nodeIds.map((id) => [id, []]));
  const epochs = new Map<string, number>();
  if (nodeIds.length === 0) return { byNode, epochs };
  const inForce = await readPoliciesInForce(db);
  const rows = await db
    .selectFrom("placements")
    .innerJoin("workloads", "workloads.name", "placements.workload")
    .leftJoin("migrations", "migrations.id", "workloads.migration_id")
    .leftJoin("certificates", "certificates.workload", "workloads.name")
    .select([
      "workloads.name",
      "workloads.state",
      "workloads.spec",
      "workloads.usage",
      "workloads.preflight",
      "placements.epoch",
      "placements.node_id",
      "migrations.id as migration_id",
      "migrations.target_node_id",
      "certificates.predicted",
    ])
    .where("placements.node_id", "in", nodeIds)
    .where("placements.is_active", "=", true)
    .where("workloads.state", "not in", ["stopped", "exited", "failed"])
    .orderBy("workloads.name")
    .execute();
  for (const row of rows) {
    const spec = fromColumn(WorkloadSpecSchema, row.spec);
    const { priority, mode, windows } = inForce.of(spec);
    const memoryBytes = memoryOf(row.spec, row.usage);
    epochs.set(row.name, Number(row.epoch));
    byNode.get(row.node_id)?.push({
      name: row.name,
      state: row.state,
      memoryBytes,
      priority: priority.value,
      mode: mode.value,
      windows,
      needs: fromColumnOrNone(WorkloadPreflightSchema, row.preflight)?.needs,
      hasSharedVolume: hasSharedVolume(spec),
      times: timesOf(row.predicted, memoryBytes),
      migration:
        row.migration_id === null || row.target_node_id === null ? undefined : { id: row.migration_id, targetNodeId: row.target_node_id },
    });
  }
  return { byNode, epochs };
}

/** The rails, and what scores depend on beside nodes and workloads. */
export async function readRails(
  db: Kysely<Database>,
  limits: RailLimits,
  nowMs: number,
): Promise<{ rails: RailsView; openCircuits: ReadonlySet<string> }> {
  const set = await readGuards(db);
  const past = await readPastMoves(db, nowMs);
  const open = await db.selectFrom("migrations").select(["source_node_id", "target_node_id"]).where("ended_at", "is", null).execute();
  const busy = new Map<string, number>();
  for (const { source_node_id, target_node_id } of open)
    for (const id of [source_node_id, target_node_id]) busy.set(id, (busy.get(id) ?? 0) + 1);
  return {
    rails: {
      isPaused: set.isPaused,
      pausedReason: set.pausedReason,
      isInWindow: isInWindow(set.windows.map(toWindow), nowMs),
      resting: new Map(resting(past, limits, nowMs).map((rest) => [rest.workload, rest])),
      leftRecently: leftRecently(past, nowMs),
      limits: { movesAtOnce: limits.movesAtOnce, movesEach: limits.movesEach, busy, busyInAll: open.length },
    },
    openCircuits: new Set(openCircuits(past, limits, nowMs).map((pair) => `${pair.sourceNodeId} ${pair.targetNodeId}`)),
  };
}

export async function readDecisionInput(
  db: Kysely<Database>,
  options: { readonly isConnected: (nodeId: string) => boolean; readonly limits: RailLimits; readonly nodeIds: readonly string[] },
  nowMs: number,
): Promise<Omit<DecisionInput, "signals" | "policy" | "weighed"> & { readonly epochs: ReadonlyMap<string, number> }> {
  const { byNode, epochs } = await readPlaced(db, options.nodeIds);
  // Where nothing runs nothing is planned: the fleet is not read for it.
  const isAnythingThere = [...byNode.values()].some((placed) => placed.length > 0);
  const nodes = isAnythingThere ? await readNodeViews(db, options.isConnected) : [];
  const { rails, openCircuits: pairs } = await readRails(db, options.limits, nowMs);
  const context: ScoreContext = { poolsUnderSignal: poolsUnderSignal(nodes), openCircuits: pairs, picksByPool: new Map() };
  return { workloads: byNode, nodes, context, rails, epochs };
}
