// Somebody's word that a node is gone for good. Heartbeats alone do not tell that, so nothing else than this word or an announced end that is
// over brings a workload back from a snapshot while its old copy may still run.
import { fault } from "@aether/contract";
import { type DeadNodeWorkload, DeadNodeWorkloadSchema } from "@aether/contract/gen/aether/v2/node_pb";
import { OnNodeLost } from "@aether/contract/gen/aether/v2/workload_pb";
import { create } from "@bufbuild/protobuf";
import type { Kysely } from "kysely";
import { stamp } from "../db/proto.ts";
import type { Database } from "../db/schema.ts";
import type { Events } from "../events/events.ts";
import { readPoliciesInForce } from "../policy/in-force.ts";
import { requireNode } from "./node-store.ts";

export interface Word {
  readonly nodeId: string;
  readonly reason: string;
  readonly traceId: string;
  readonly nowMs: number;
}

/** Takes the word, in the caller's transaction. Throws NODE_NOT_FOUND. The caller has made sure that the node has no session. */
export async function declareDead(tx: Kysely<Database>, events: Events, { nodeId, reason, traceId, nowMs }: Word): Promise<void> {
  const node = await requireNode(tx, nodeId, "id");
  const at = new Date(nowMs);
  await tx
    .updateTable("nodes")
    .set({ declared_dead_at: at, lost_at: node.lost_at ?? at })
    .where("id", "=", nodeId)
    .execute();
  await tx
    .updateTable("workloads")
    .from("placements")
    .set({ state: "lost", health: "unknown", reason: `its node ${nodeId} was declared dead` })
    .whereRef("placements.workload", "=", "workloads.name")
    .where("placements.is_active", "=", true)
    .where("placements.node_id", "=", nodeId)
    .where("workloads.state", "in", ["running", "lost"])
    .where("workloads.migration_id", "is", null)
    .execute();
  await events.append(tx, {
    type: "node.declared_dead",
    subject: `node/${nodeId}`,
    message: `${nodeId} was declared dead${reason === "" ? "" : `: ${reason}`}`,
    data: { reason },
    traceId,
  });
}

/** What becomes of each workload of the node. */
export async function fatesOf(db: Kysely<Database>, nodeId: string): Promise<DeadNodeWorkload[]> {
  const rows = await db
    .selectFrom("placements")
    .innerJoin("workloads", "workloads.name", "placements.workload")
    .select(["workloads.name", "workloads.spec", "workloads.state", "workloads.migration_id", "workloads.snapshot_id"])
    .where("placements.node_id", "=", nodeId)
    .where("placements.is_active", "=", true)
    .where("workloads.state", "not in", ["stopped", "exited", "failed"])
    .orderBy("workloads.name")
    .execute();
  const names = rows.map(({ name }) => name);
  const newest = new Map(
    (names.length === 0 ? [] : await newestSnapshots(db, names)).map((snapshot) => [snapshot.workload, snapshot] as const),
  );
  const inForce = await readPoliciesInForce(db);
  return rows.map(({ name, spec, state, migration_id, snapshot_id }) => {
    const snapshot = newest.get(name);
    const policy = inForce.ofColumn(spec).onNodeLost.value;
    const say = (outcome: string, isRestored = false) =>
      create(DeadNodeWorkloadSchema, {
        name,
        outcome,
        ...(snapshot === undefined || !isRestored ? {} : { snapshotId: snapshot.id, ...stamp("snapshotAt", snapshot.created_at) }),
      });
    if (migration_id !== null) return say(`is being moved by ${migration_id}: the move decides where it goes on, or asks for a person`);
    if (state === "needs_operator") return say("waits for a person: aether migrations settle, with --other-node-is-dead");
    if (state === "starting" && snapshot_id === null)
      return say(`was being started there: it starts when the node is heard again; or aether rm ${name} --force, and run it on another`);
    if (snapshot === undefined && policy === OnNodeLost.RESTORE)
      return say("has no snapshot on record: it comes back only if its node kept one in the store by its reflex, which is looked for");
    if (snapshot === undefined)
      return say("has no snapshot: what it held in memory is lost, and it stays lost until somebody runs it anew");
    if (policy !== OnNodeLost.RESTORE)
      return say(
        `stays lost, as its policy says; by hand: aether restore ${snapshot.id} (as it was at ${snapshot.created_at.toISOString()})`,
      );
    return say(`comes back on another node from ${snapshot.id}, as it was at ${snapshot.created_at.toISOString()}`, true);
  });
}

const newestSnapshots = (db: Kysely<Database>, names: readonly string[]) =>
  db
    .selectFrom("snapshots")
    .distinctOn("workload")
    .select(["workload", "id", "created_at"])
    .where("workload", "in", names)
    .where("state", "=", "ready")
    .orderBy("workload")
    .orderBy("epoch", "desc")
    .orderBy("created_at", "desc")
    .execute();

/** Is this node gone beyond doubt: by somebody's word, or by an announced end that is over while it is not heard? */
export const isDead = (
  node: { readonly lost_at: Date | null; readonly interruption_at: Date | null; readonly declared_dead_at: Date | null },
  nowMs: number,
): boolean =>
  node.lost_at !== null &&
  (node.declared_dead_at !== null || (node.interruption_at !== null && node.interruption_at.getTime() < nowMs - deadMarginMs));

/** After the announced time: the cloud's clock and ours may differ by as much. */
export const deadMarginMs = 10_000;

/** Throws NODE_IS_CONNECTED. */
export function refuseWhileHeard(nodeId: string, isConnected: boolean): void {
  if (isConnected) throw fault("NODE_IS_CONNECTED", `${nodeId} has a session with the control plane: it is not dead`, { field: "id" });
}
