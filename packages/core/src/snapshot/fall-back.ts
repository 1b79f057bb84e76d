// A revival found its snapshot damaged: the next newest one is taken, until one is whole; or the agent died in the middle of it: it is begun anew. Driven by the rows alone, so that a kill of the control plane in
// between changes nothing but time. A snapshot that a person chose to restore is not replaced by another: what is older is for them to decide.
import { ErrorDetailSchema } from "@aether/contract/gen/aether/v2/common_pb";
import { OnNodeLost } from "@aether/contract/gen/aether/v2/workload_pb";
import { create } from "@bufbuild/protobuf";
import type { Db } from "../db/database.ts";
import { toColumn } from "../db/proto.ts";
import type { Events } from "../events/events.ts";
import { readPoliciesInForce } from "../policy/in-force.ts";
import { placeNext } from "../workload/store.ts";

/** Placements by a revival are caused by this and the snapshot's id. */
export const revivedFrom = "restore/";
/** What a failed restore of a damaged snapshot begins its reason with (workload/converge.ts). */
const damaged = "SNAPSHOT_CORRUPT: ";
const interrupted = "STEP_INTERRUPTED: ";
/** An agent that dies of each attempt is not made to die for ever. */
const mostAttempts = 3;

/** Answers the names of the workloads that are started again: from an older snapshot, or from the same one. */
export async function fallBack(db: Db, events: Events): Promise<string[]> {
  const rows = await db
    .selectFrom("workloads")
    .innerJoin("placements", (join) => join.onRef("placements.workload", "=", "workloads.name").on("placements.is_active", "=", true))
    .select(["workloads.name", "workloads.spec", "workloads.snapshot_id", "workloads.reason", "placements.node_id", "placements.epoch"])
    .where("workloads.state", "=", "failed")
    .where("workloads.desired", "=", "running")
    .where("workloads.migration_id", "is", null)
    .where("workloads.snapshot_id", "is not", null)
    .where((eb) => eb.or([damaged, interrupted].map((why) => eb("workloads.reason", "like", `${why}%`))))
    .where("placements.cause", "like", `${revivedFrom}%`)
    .orderBy("workloads.name")
    .execute();
  const again: string[] = [];
  if (rows.length === 0) return again;
  const inForce = await readPoliciesInForce(db);
  for (const row of rows) {
    const { name, snapshot_id: snapshotId } = row;
    if (snapshotId === null || inForce.ofColumn(row.spec).onNodeLost.value !== OnNodeLost.RESTORE) continue;
    if (row.reason.startsWith(interrupted)) {
      if (await beginAnew(db, events, { ...row, snapshotId })) again.push(name);
      continue;
    }
    const isPlaced = await db.transaction().execute(async (tx) => {
      const error = toColumn(
        ErrorDetailSchema,
        create(ErrorDetailSchema, { code: "SNAPSHOT_CORRUPT", message: row.reason.slice(damaged.length) }),
      );
      await tx
        .updateTable("snapshots")
        .set({ state: "corrupt", error })
        .where("id", "=", snapshotId)
        .where("state", "=", "ready")
        .execute();
      const older = await tx
        .selectFrom("snapshots")
        .select("id")
        .where("workload", "=", name)
        .where("state", "=", "ready")
        .orderBy("epoch", "desc")
        .orderBy("created_at", "desc")
        .limit(1)
        .executeTakeFirst();
      const reason =
        older === undefined ? `no snapshot of it is whole; ${row.reason}` : `${snapshotId} is damaged; it is restored from ${older.id}`;
      const change = { reason, ...(older === undefined ? {} : { ...starting, snapshot_id: older.id }) };
      if (!(await changeFailed(tx, name, snapshotId, change))) return false;
      if (older !== undefined) await placeNext(tx, name, row.node_id, `${revivedFrom}${older.id}`, Number(row.epoch) + 1);
      await events.append(tx, {
        type: older === undefined ? "workload.failed" : "workload.restoring",
        subject: `workload/${name}`,
        message: `${name}: ${reason}`,
        data: { nodeId: row.node_id, snapshotId: older?.id ?? snapshotId },
      });
      return older !== undefined;
    });
    if (isPlaced) again.push(name);
  }
  return again;
}

const starting = { state: "starting", exit_code: null } as const;

/** False where it is not the failed attempt any more: somebody was quicker. */
async function changeFailed(
  tx: Db,
  name: string,
  snapshotId: string,
  change: { readonly state?: "starting"; readonly exit_code?: null; readonly snapshot_id?: string; readonly reason: string },
): Promise<boolean> {
  const changed = await tx
    .updateTable("workloads")
    .set(change)
    .where("name", "=", name)
    .where("state", "=", "failed")
    .where("snapshot_id", "=", snapshotId)
    .where("migration_id", "is", null)
    .returning("name")
    .executeTakeFirst();
  return changed !== undefined;
}

/** What the attempt left on its node was removed when it failed (workload/converge.ts). */
async function beginAnew(
  db: Db,
  events: Events,
  {
    name,
    snapshotId,
    reason,
    node_id: nodeId,
    epoch,
  }: { name: string; snapshotId: string; reason: string; node_id: string; epoch: number },
): Promise<boolean> {
  const cause = `${revivedFrom}${snapshotId}`;
  return db.transaction().execute(async (tx) => {
    const { attempts } = await tx
      .selectFrom("placements")
      .select(({ fn }) => fn.countAll().as("attempts"))
      .where("workload", "=", name)
      .where("cause", "=", cause)
      .executeTakeFirstOrThrow();
    if (Number(attempts) >= mostAttempts) return false;
    const again = `it is restored from ${snapshotId} again; ${reason}`.slice(0, 2000);
    if (!(await changeFailed(tx, name, snapshotId, { ...starting, reason: again }))) return false;
    await placeNext(tx, name, nodeId, cause, Number(epoch) + 1);
    await events.append(tx, {
      type: "workload.restoring",
      subject: `workload/${name}`,
      message: `${name} is restored from ${snapshotId} again: ${reason.slice(interrupted.length)}`,
      data: { nodeId, snapshotId },
    });
    return true;
  });
}
