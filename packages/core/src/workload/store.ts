// Workloads as rows, and as messages of the contract.
import { fault } from "@aether/contract";
import { HealthState } from "@aether/contract/gen/aether/v2/common_pb";
import { WorkloadPreflightSchema } from "@aether/contract/gen/aether/v2/preflight_pb";
import {
  type Workload,
  WorkloadSchema,
  WorkloadSpecSchema,
  WorkloadState,
  WorkloadUsageSchema,
} from "@aether/contract/gen/aether/v2/workload_pb";
import { create } from "@bufbuild/protobuf";
import { type Kysely, sql } from "kysely";
import { fromColumn, fromColumnOrNone, stamp } from "../db/proto.ts";
import type { Database, Row, RowChange } from "../db/schema.ts";
import type { HealthText, WorkloadStateText } from "../db/tables/workloads.ts";

export type PlacedWorkload = Row<"workloads"> & { readonly node_id: string | null; readonly epoch: number | null };

/** Workloads with their active placement. */
export function selectPlaced(db: Kysely<Database>) {
  return db
    .selectFrom("workloads")
    .leftJoin("placements", (join) => join.onRef("placements.workload", "=", "workloads.name").on("placements.is_active", "=", true))
    .selectAll("workloads")
    .select(["placements.node_id", "placements.epoch"]);
}

export async function findWorkload(db: Kysely<Database>, name: string): Promise<PlacedWorkload | undefined> {
  return selectPlaced(db).where("workloads.name", "=", name).executeTakeFirst();
}

/** The row, or WORKLOAD_NOT_FOUND naming the field. */
export async function requireWorkload(db: Kysely<Database>, name: string, field = "name"): Promise<PlacedWorkload> {
  const row = await findWorkload(db, name);
  if (row === undefined) throw fault("WORKLOAD_NOT_FOUND", `there is no workload ${JSON.stringify(name.slice(0, 60))}`, { field });
  return row;
}

/** Throws MIGRATION_IN_PROGRESS with the running one's id. */
export function refuseWhileMoving(row: Pick<Row<"workloads">, "name" | "migration_id">): void {
  if (row.migration_id === null) return;
  throw fault("MIGRATION_IN_PROGRESS", `${row.name} is being moved by ${row.migration_id}`, { details: { migrationId: row.migration_id } });
}

/** Changes the row while no migration has it in its hands. False: one has, or the workload is gone. */
export async function changeUnlessMoving(db: Kysely<Database>, id: string, to: RowChange<"workloads">): Promise<boolean> {
  const changed = await db
    .updateTable("workloads")
    .set(to)
    .where("id", "=", id)
    .where("migration_id", "is", null)
    .returning("name")
    .executeTakeFirst();
  return changed !== undefined;
}

/**
 * Ends the active placement and makes the next one, in the next epoch of this name: epochs go on growing for ever, also when the
 * name is used again, because agents refuse what is older than what they have seen.
 */
export async function placeNext(tx: Kysely<Database>, workload: string, nodeId: string, cause: string, atLeast = 1): Promise<number> {
  await endPlacement(tx, workload);
  const last = await tx
    .selectFrom("placements")
    .select(({ fn }) => fn.max("epoch").as("epoch"))
    .where("workload", "=", workload)
    .executeTakeFirst();
  const epoch = Math.max(Number(last?.epoch ?? 0) + 1, atLeast);
  await tx.insertInto("placements").values({ workload, epoch, node_id: nodeId, cause }).execute();
  return epoch;
}

/**
 * Locks the row of a workload that is still placed in this epoch and in no migration's hands. Undefined: it has gone on, and who asks has nothing to say of it
 * any more.
 */
export async function lockInEpoch(
  tx: Kysely<Database>,
  { name, epoch }: Pick<PlacedWorkload, "name" | "epoch">,
): Promise<Pick<Row<"workloads">, "id" | "state"> | undefined> {
  const row = await tx
    .selectFrom("workloads")
    .select(["id", "state"])
    .where("name", "=", name)
    .where("migration_id", "is", null)
    .forUpdate()
    .executeTakeFirst();
  // In a statement of its own: who had to wait for the lock must see what was written meanwhile.
  const placed = await tx
    .selectFrom("placements")
    .select("epoch")
    .where("workload", "=", name)
    .where("is_active", "=", true)
    .executeTakeFirst();
  return (placed === undefined ? null : Number(placed.epoch)) === epoch ? row : undefined;
}

export async function endPlacement(tx: Kysely<Database>, workload: string): Promise<void> {
  await tx
    .updateTable("placements")
    .set({ is_active: false, ended_at: sql`now()` })
    .where("workload", "=", workload)
    .where("is_active", "=", true)
    .execute();
}

const states: Readonly<Record<WorkloadStateText, WorkloadState>> = {
  starting: WorkloadState.STARTING,
  running: WorkloadState.RUNNING,
  migrating: WorkloadState.MIGRATING,
  stopped: WorkloadState.STOPPED,
  exited: WorkloadState.EXITED,
  failed: WorkloadState.FAILED,
  lost: WorkloadState.LOST,
  needs_operator: WorkloadState.NEEDS_OPERATOR,
};

const healths: Readonly<Record<HealthText, HealthState>> = {
  unknown: HealthState.UNKNOWN,
  passing: HealthState.PASSING,
  failing: HealthState.FAILING,
};

export function toWorkload(row: PlacedWorkload): Workload {
  const usage = fromColumnOrNone(WorkloadUsageSchema, row.usage);
  const preflight = fromColumnOrNone(WorkloadPreflightSchema, row.preflight);
  return create(WorkloadSchema, {
    id: row.id,
    spec: fromColumn(WorkloadSpecSchema, row.spec),
    state: states[row.state],
    nodeId: row.node_id ?? "",
    epoch: BigInt(row.epoch ?? 0),
    health: healths[row.health],
    ...stamp("createdAt", row.created_at),
    ...stamp("startedAt", row.started_at),
    reason: row.reason,
    ...(usage === undefined ? {} : { usage }),
    ...(preflight === undefined ? {} : { preflight }),
    migrationId: row.migration_id ?? "",
    exitCode: row.exit_code ?? 0,
  });
}
