// The nodes as the choice of a place sees them.
import { fault } from "@aether/contract";
import type { Db } from "../db/database.ts";
import type { Memory } from "../fleet/memory.ts";
import { factsOf, requireNode, workloadsByNode } from "../fleet/node-store.ts";
import type { AgentSessions } from "../fleet/sessions.ts";
import { chooseNode, type Demand, type NodeOffer, refusalOf } from "./choose-node.ts";

export interface Offers {
  /** The named node if it can take it (else NODE_NOT_FOUND, NODE_NOT_CONNECTED, NO_TARGET), or the best one. */
  place(nodeId: string, demand: Demand): Promise<string>;
}

export function createOffers(db: Db, sessions: AgentSessions, memory: Pick<Memory, "usage">): Offers {
  const all = async (): Promise<NodeOffer[]> => {
    const rows = await db.selectFrom("nodes").selectAll().orderBy("id").execute();
    const workloads = await workloadsByNode(
      db,
      rows.map(({ id }) => id),
    );
    return rows.map((row) => {
      const { capabilities } = factsOf(row);
      const usage = memory.usage(row.id);
      return {
        id: row.id,
        isConnected: sessions.isConnected(row.id),
        isCordoned: row.is_cordoned,
        isInterrupted: row.interruption_at !== null,
        runcVersion: capabilities?.runcVersion ?? "",
        canMove: capabilities?.criu?.available ?? false,
        memoryAvailableBytes: usage === undefined ? undefined : Number(usage.memoryAvailableBytes),
        workloadCount: workloads.get(row.id)?.length ?? 0,
      };
    });
  };
  return {
    async place(nodeId, demand) {
      const offers = await all();
      if (nodeId === "") return chooseNode(offers, demand);
      await requireNode(db, nodeId, "node_id");
      const offer = offers.find(({ id }) => id === nodeId);
      if (offer === undefined) throw fault("NODE_NOT_FOUND", `there is no node ${nodeId}`, { field: "node_id" });
      const refusal = refusalOf(offer, demand);
      if (refusal === undefined) return nodeId;
      throw fault(offer.isConnected ? "NO_TARGET" : "NODE_NOT_CONNECTED", `${nodeId} cannot take it: ${refusal}`, { field: "node_id" });
    },
  };
}
