// Nodes as rows, and as messages of the contract.

import { fault } from "@aether/contract";
import { type Node, type NodeFacts, NodeFactsSchema, NodeSchema, NodeState, NodeUsageSchema } from "@aether/contract/gen/aether/v2/node_pb";
import { create } from "@bufbuild/protobuf";
import type { Kysely } from "kysely";
import type { Db } from "../db/database.ts";
import { fromColumn, fromColumnOrNone, stamp } from "../db/proto.ts";
import type { Database, Row } from "../db/schema.ts";

/** The row, or NODE_NOT_FOUND naming the field. */
export async function requireNode(db: Kysely<Database>, id: string, field: string): Promise<Row<"nodes">> {
  const row = await db.selectFrom("nodes").selectAll().where("id", "=", id).executeTakeFirst();
  if (row === undefined) throw fault("NODE_NOT_FOUND", `there is no node ${JSON.stringify(id.slice(0, 60))}`, { field });
  return row;
}

export const factsOf = (row: Row<"nodes">): NodeFacts => fromColumn(NodeFactsSchema, row.facts);

/** LOST is worse than INTERRUPTED, and that than CORDONED. */
function stateOf(row: Row<"nodes">): NodeState {
  if (row.lost_at !== null) return NodeState.LOST;
  if (row.interruption_at !== null) return NodeState.INTERRUPTED;
  return row.is_cordoned ? NodeState.CORDONED : NodeState.READY;
}

export function toNode(row: Row<"nodes">, workloads: readonly string[], isConnected: boolean): Node {
  const usage = fromColumnOrNone(NodeUsageSchema, row.usage);
  return create(NodeSchema, {
    id: row.id,
    state: stateOf(row),
    facts: factsOf(row),
    ...stamp("registeredAt", row.registered_at),
    ...stamp("seenAt", row.seen_at),
    ...stamp("interruptionAt", row.interruption_at),
    ...stamp("declaredDeadAt", row.declared_dead_at),
    isConnected,
    isCordoned: row.is_cordoned,
    workloads: [...workloads],
    ...(usage === undefined ? {} : { usage }),
  });
}

/** Names of the workloads that have their active placement on each of these nodes. */
export async function workloadsByNode(db: Db, nodeIds: readonly string[]): Promise<Map<string, string[]>> {
  const found = new Map<string, string[]>(nodeIds.map((id) => [id, []]));
  if (nodeIds.length === 0) return found;
  const rows = await db
    .selectFrom("placements")
    .innerJoin("workloads", "workloads.name", "placements.workload")
    .select(["placements.workload", "placements.node_id"])
    .where("placements.is_active", "=", true)
    .where("placements.node_id", "in", nodeIds)
    .orderBy("placements.workload")
    .execute();
  for (const { workload, node_id } of rows) found.get(node_id)?.push(workload);
  return found;
}
