// Where a new workload starts: pure, with a reason for each node that is not chosen.
import { fault } from "@aether/contract";

export interface NodeOffer {
  readonly id: string;
  readonly isConnected: boolean;
  readonly isCordoned: boolean;
  readonly isInterrupted: boolean;
  readonly runcVersion: string;
  /** Can a workload of this node be checkpointed, and so be moved away? */
  readonly canMove: boolean;
  /** Undefined before the first heartbeat. */
  readonly memoryAvailableBytes: number | undefined;
  readonly workloadCount: number;
}

export interface Demand {
  /** 0: not said. */
  readonly memoryLimitBytes: number;
}

/** Why this node cannot take it; undefined when it can. */
export function refusalOf(node: NodeOffer, demand: Demand): string | undefined {
  if (!node.isConnected) return "it has no session with the control plane";
  if (node.isCordoned) return "it is cordoned";
  if (node.isInterrupted) return "its interruption is announced";
  if (node.runcVersion === "") return "it has no runc";
  if (node.memoryAvailableBytes !== undefined && demand.memoryLimitBytes > node.memoryAvailableBytes) {
    return `it has ${node.memoryAvailableBytes} bytes of memory left, less than the limit asked for`;
  }
  return undefined;
}

/** The best node: first those from which a workload can be moved away again, then the fewest workloads, then the most memory. Throws NO_TARGET. */
export function chooseNode(nodes: readonly NodeOffer[], demand: Demand): string {
  const refusals = nodes.map((node) => [node.id, refusalOf(node, demand)] as const).filter((entry) => entry[1] !== undefined);
  const refused = new Map(refusals);
  const [best] = nodes
    .filter(({ id }) => !refused.has(id))
    .sort(
      (a, b) =>
        Number(b.canMove) - Number(a.canMove) ||
        a.workloadCount - b.workloadCount ||
        (b.memoryAvailableBytes ?? 0) - (a.memoryAvailableBytes ?? 0) ||
        a.id.localeCompare(b.id),
    );
  if (best !== undefined) return best.id;
  const reasons = refusals.map(([id, reason]) => `${id}: ${reason}`);
  throw fault("NO_TARGET", reasons.length === 0 ? "no node is registered" : `no node can take it (${reasons.join("; ")})`, {
    field: "node_id",
    details: Object.fromEntries(refusals.map(([id, reason]) => [id, reason ?? ""])),
  });
}
