// Which nodes are shown, and in which order. Pure: 10,000 rows are filtered and sorted here at each letter typed.
import { type Node, NodeState } from "@aether/contract/gen/aether/v2/node_pb";
import { msOf } from "../format/time.ts";

export const poolOf = (node: Node): string => {
  const { instanceType = "", zone = "" } = node.facts?.cloud ?? {};
  return [instanceType, zone].filter((part) => part !== "").join("/");
};

export const stateKey = (node: Node): string => (NodeState[node.state] ?? "unknown").toLowerCase();

export interface NodeSearch {
  readonly q?: string;
  readonly state?: string;
  readonly pool?: string;
  readonly sort?: string;
}

const orders: Readonly<Record<string, (a: Node, b: Node) => number>> = {
  name: (a, b) => collator.compare(a.id, b.id),
  state: (a, b) => b.state - a.state,
  pool: (a, b) => collator.compare(poolOf(a), poolOf(b)),
  workloads: (a, b) => b.workloads.length - a.workloads.length,
  cpu: (a, b) => (b.usage?.cpuFraction ?? -1) - (a.usage?.cpuFraction ?? -1),
  free: (a, b) => Number((a.usage?.memoryAvailableBytes ?? 1n << 60n) - (b.usage?.memoryAvailableBytes ?? 1n << 60n)),
  seen: (a, b) => (msOf(a.seenAt) ?? 0) - (msOf(b.seenAt) ?? 0),
};
const collator = new Intl.Collator("en", { numeric: true });

interface Market {
  riskOf(nodeId: string): number | undefined;
  priceOf(nodeId: string): number | undefined;
  savedOf(nodeId: string): number | undefined;
}

const nothing: Market = { riskOf: () => undefined, priceOf: () => undefined, savedOf: () => undefined };

export function filterNodes(nodes: readonly Node[], { q = "", state, pool, sort = "name" }: NodeSearch, market: Market = nothing): Node[] {
  const wanted = q.trim().toLowerCase();
  const found = nodes.filter(
    (node) =>
      (state === undefined || stateKey(node) === state) &&
      (pool === undefined || poolOf(node) === pool) &&
      (wanted === "" ||
        node.id.toLowerCase().includes(wanted) ||
        poolOf(node).toLowerCase().includes(wanted) ||
        (node.facts?.cloud?.instanceId ?? "").includes(wanted) ||
        node.workloads.some((name) => name.includes(wanted))),
  );
  const isBackwards = sort.startsWith("-");
  const key = isBackwards ? sort.slice(1) : sort;
  const byMarket: Readonly<Record<string, (nodeId: string) => number | undefined>> = {
    risk: market.riskOf,
    price: market.priceOf,
    saved: market.savedOf,
  };
  const measure = byMarket[key];
  const order = measure === undefined ? (orders[key] ?? orders.name) : highest(measure);
  if (order === undefined) return found;
  return found.sort((a, b) => (isBackwards ? -1 : 1) * (order(a, b) || collator.compare(a.id, b.id)));
}

/** What is not known comes last. */
const highest = (of: (nodeId: string) => number | undefined) => (a: Node, b: Node) => (of(b.id) ?? -1) - (of(a.id) ?? -1);
