// The best targets of a workload without looking at a whole fleet for each: nodes are ordered once, within their pools, by the most that each could
// score for any workload. A search goes on from pool to pool as long as a node could still be better than those that it has. Pure.
import { canBeTarget, mostScore, type NodeView, poolOf, poolPenalty, rateTarget, type ScoreContext, type WorkloadNeed } from "./plan.ts";

export interface Rated {
  readonly node: NodeView;
  readonly score: number;
}

export interface Looked {
  /** Those that can take it, best first: all of a small fleet, else the best few. */
  readonly rated: readonly Rated[];
  /** Some of those that cannot; all of a small fleet. */
  readonly unable: readonly NodeView[];
}

export interface Targets {
  look(need: WorkloadNeed, source: NodeView | undefined, context: ScoreContext): Looked;
  /** The node has more or less to give than when it was last looked at. */
  turns(node: NodeView): void;
}

/** Targets that are looked for in a large fleet, and nodes that are named because they cannot. */
const most = 16;
const mostUnable = 5;
/** A fleet of this size is looked at whole. */
const smallFleet = 32;
/** Sums of the same parts in another order differ by less. */
const epsilon = 1e-9;

interface Ranked {
  readonly node: NodeView;
  most: number;
}

/** @param nodes may have another amount of memory and of workloads between two searches (`turns`). */
export function createTargets(nodes: readonly NodeView[]): Targets {
  if (nodes.length <= smallFleet) return { look: (need, source, context) => lookAtAll(nodes, need, source, context), turns() {} };
  const largestBytes = nodes.reduce((sum, node) => Math.max(sum, node.memoryBytes), 1);
  const never = nodes.filter((node) => !canBeTarget(node)).slice(0, mostUnable);
  const pools = new Map<string, Ranked[]>();
  for (const node of nodes) {
    if (!canBeTarget(node)) continue;
    const pool = pools.get(poolOf(node)) ?? [];
    pool.push({ node, most: mostScore(node) });
    pools.set(poolOf(node), pool);
  }
  for (const pool of pools.values()) pool.sort(byMost);
  const ranked = [...pools];

  return {
    turns(node) {
      const pool = pools.get(poolOf(node)) ?? [];
      const at = pool.findIndex((each) => each.node === node);
      const [one] = at < 0 ? [] : pool.splice(at, 1);
      if (one === undefined) return;
      one.most = mostScore(node);
      const before = pool.findIndex((each) => byMost(one, each) < 0);
      pool.splice(before < 0 ? pool.length : before, 0, one);
    },
    look(need, source, context) {
      const memory = 0.35 * (need.memoryBytes / largestBytes);
      const rated: Rated[] = [];
      const unable = [...never];
      const cursors = ranked.map(([name, pool]) => ({ pool, at: 0, less: memory + poolPenalty(name, source, context) }));
      for (;;) {
        let next: { node: NodeView; could: number; cursor: { at: number } } | undefined;
        for (const cursor of cursors) {
          const head = cursor.pool[cursor.at];
          if (head !== undefined && (next === undefined || head.most - cursor.less > next.could))
            next = { node: head.node, could: head.most - cursor.less, cursor };
        }
        const last = rated.length < most ? undefined : rated.at(-1);
        if (next === undefined || (last !== undefined && next.could < last.score - epsilon)) break;
        // Nodes that are alike in everything but their names: the first of them are there already, and what follows in this pool is no better.
        const isAsGood = last !== undefined && next.could <= last.score + epsilon && next.node.id > last.node.id;
        next.cursor.at = isAsGood ? Number.POSITIVE_INFINITY : next.cursor.at + 1;
        if (isAsGood) continue;
        const score = rateTarget(need, source, next.node, context);
        if (score === undefined) {
          if (unable.length < mostUnable) unable.push(next.node);
        } else insert(rated, { node: next.node, score });
      }
      return { rated, unable };
    },
  };
}

const byMost = (a: Ranked, b: Ranked): number => b.most - a.most || (a.node.id < b.node.id ? -1 : 1);

function lookAtAll(nodes: readonly NodeView[], need: WorkloadNeed, source: NodeView | undefined, context: ScoreContext): Looked {
  const rated: Rated[] = [];
  const unable: NodeView[] = [];
  for (const node of nodes) {
    const score = rateTarget(need, source, node, context);
    if (score === undefined) unable.push(node);
    else rated.push({ node, score });
  }
  return { rated: rated.sort((a, b) => b.score - a.score || (a.node.id < b.node.id ? -1 : 1)), unable };
}

function insert(rated: Rated[], one: Rated): void {
  let at = rated.length;
  for (let before = rated[at - 1]; before !== undefined && isBetter(one, before); before = rated[at - 1]) at--;
  rated.splice(at, 0, one);
  if (rated.length > most) rated.pop();
}

const isBetter = (one: Rated, than: Rated): boolean => one.score > than.score || (one.score === than.score && one.node.id < than.node.id);
