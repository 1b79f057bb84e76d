// The pool of the target that would be taken now is said to have no capacity: everything that leaves the node must go elsewhere.
import { fault } from "@aether/contract";
import { CertificateSchema } from "@aether/contract/gen/aether/v2/certificate_pb";
import { type DrillCheck, DrillCheckSchema } from "@aether/contract/gen/aether/v2/drill_pb";
import type { DecisionMove } from "@aether/contract/gen/aether/v2/signal_pb";
import { create } from "@bufbuild/protobuf";
import type { Db } from "../db/database.ts";
import { fromColumn } from "../db/proto.ts";
import { readNodeViews } from "../migration/fleet-view.ts";
import { poolOf } from "../migration/plan.ts";

/** The pool of the target in the newest certificates of the node's workloads. Throws DRILL_UNAVAILABLE. */
export async function poolToMark(db: Db, nodeId: string, isConnected: (nodeId: string) => boolean): Promise<string> {
  const rows = await db
    .selectFrom("certificates")
    .innerJoin("placements", "placements.workload", "certificates.workload")
    .select("certificates.body")
    .where("placements.node_id", "=", nodeId)
    .where("placements.is_active", "=", true)
    .orderBy("certificates.workload")
    .execute();
  const targets = rows.map(({ body }) => fromColumn(CertificateSchema, body).targetNodeId).filter((id) => id !== "");
  const [target] = targets;
  if (target === undefined)
    throw fault("DRILL_UNAVAILABLE", `no workload of ${nodeId} has a target now: there is no pool to take away`, {
      field: "node_id",
      hint: "`aether certificate` says what is missing; a certificate is made a few seconds after a workload runs.",
    });
  const nodes = await readNodeViews(db, isConnected);
  const found = nodes.find(({ id }) => id === target);
  const pool = found === undefined ? "" : poolOf(found);
  if (pool !== "") return pool;
  throw fault("DRILL_UNAVAILABLE", `the cloud of ${target}, the target, does not say in which pool it is`, { field: "node_id" });
}

export async function markShort(db: Db, pool: string, cause: string, until: Date): Promise<void> {
  await db
    .insertInto("pool_shortages")
    .values({ pool, cause, until })
    .onConflict((conflict) => conflict.columns(["pool", "cause"]).doUpdateSet({ until }))
    .execute();
}

export async function unmark(db: Db, cause: string): Promise<void> {
  await db.deleteFrom("pool_shortages").where("cause", "=", cause).execute();
}

export interface CapacityFacts {
  readonly pool: string;
  readonly moves: readonly DecisionMove[];
  readonly poolOfNode: ReadonlyMap<string, string>;
}

/** Into the marked pool only where nothing else could take it. */
export function capacityCheck({ pool, moves, poolOfNode }: CapacityFacts): DrillCheck {
  const into = moves.filter((move) => move.targetNodeId !== "" && poolOfNode.get(move.targetNodeId) === pool);
  const wrong = into.filter((move) =>
    move.candidates.some((each) => each.isEligible && each.nodeId !== move.targetNodeId && poolOfNode.get(each.nodeId) !== pool),
  );
  const detail =
    wrong.length > 0
      ? wrong.map((move) => `${move.workload} went to ${move.targetNodeId}, though another could take it`).join("; ")
      : into.length > 0
        ? `nothing else could take ${into.map(({ workload }) => workload).join(", ")}`
        : `every target is in another pool: ${moves.map((move) => `${move.workload} to ${move.targetNodeId || "none"}`).join(", ") || "none"}`;
  return create(DrillCheckSchema, { name: `without ${pool}`, isPassed: wrong.length === 0 && moves.length > 0, detail });
}
