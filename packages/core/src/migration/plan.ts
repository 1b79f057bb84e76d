// Which node takes a workload: every node is looked at, each gets a score and its reasons, and whoever cannot take it says why. Pure.
//
//   score = 0.35 memory that stays free + 0.2 idle processors + 0.15 few workloads + 0.2 own safety + 0.1 price     (0 to 1)
//         - 1 its pool is under a signal - 0.8 moves between the two failed in a row - 0.5 it came from there just now
//         - 0.3 the pool that is being left - 0.1 for each other move of the same plan into its pool
// Below zero is a last resort: taken on a notice when nothing else is left, never for a move that nothing forces.
import { targetMisfits } from "@aether/contract";
import type { NodeCapabilities } from "@aether/contract/gen/aether/v2/node_pb";
import type { WorkloadNeeds } from "@aether/contract/gen/aether/v2/preflight_pb";
import { type TargetScore, TargetScoreSchema } from "@aether/contract/gen/aether/v2/signal_pb";
import { create } from "@bufbuild/protobuf";

/** A node as the planner sees it. */
export interface NodeView {
  readonly id: string;
  readonly isConnected: boolean;
  readonly isCordoned: boolean;
  /** What was announced for it and not withdrawn. */
  readonly announced: "notice" | "rebalance" | undefined;
  readonly capabilities: NodeCapabilities | undefined;
  /** Free by its last heartbeat, less what is on its way to it; all of its memory where no heartbeat came yet. */
  readonly memoryAvailableBytes: number;
  readonly memoryBytes: number;
  readonly cpuFraction: number;
  readonly workloadCount: number;
  /** As its cloud names them; empty where unknown. */
  readonly instanceType?: string;
  readonly zone?: string;
  /** As `poolOf` says, where it was asked before. */
  readonly pool?: string;
  /** Probability of an interruption within an hour, as last assessed; undefined where nobody did. */
  readonly riskPerHour?: number | undefined;
  readonly usdPerHour?: number | undefined;
  /** Its pool is said to have no capacity. */
  readonly isPoolShort?: boolean;
}

export interface WorkloadNeed {
  readonly name: string;
  readonly nodeId: string;
  /** As last measured, or its limit. */
  readonly memoryBytes: number;
  /** What its own code needs of a target, as its node found; undefined: all that its node has. */
  readonly needs?: WorkloadNeeds | undefined;
  /** Has volumes that are the same storage on every node: the zone must reach it. */
  readonly hasSharedVolume?: boolean;
  /** Nodes that it left a short time ago. */
  readonly leftRecently?: ReadonlySet<string>;
}

/** What lies beside the nodes themselves. */
export interface ScoreContext {
  /** Pools of which a node is announced to be interrupted: AWS takes a pool at a time. */
  readonly poolsUnderSignal: ReadonlySet<string>;
  /** "source target" of pairs between which moves failed in a row. */
  readonly openCircuits: ReadonlySet<string>;
  /** Moves of the same plan into each pool so far. */
  readonly picksByPool: ReadonlyMap<string, number>;
}

export const noContext: ScoreContext = { poolsUnderSignal: new Set(), openCircuits: new Set(), picksByPool: new Map() };

/** Memory that stays free on a target beside the workload itself: the checkpoint's images pass through the page cache. */
export const spareMemoryBytes = 64 * 1024 * 1024;

/** "m5.large/us-east-1a"; empty where the cloud does not say. */
export const poolOf = (node: Pick<NodeView, "instanceType" | "zone" | "pool">): string =>
  node.pool !== undefined ? node.pool : node.instanceType && node.zone ? `${node.instanceType}/${node.zone}` : "";

/** Pools with a node that is given notice, or without capacity. A recommendation to rebalance is about one node only. */
export function poolsUnderSignal(nodes: readonly NodeView[]): Set<string> {
  return new Set(
    nodes
      .filter((node) => node.announced === "notice" || node.isPoolShort === true)
      .map(poolOf)
      .filter((pool) => pool !== ""),
  );
}

/** All nodes for one workload, best first: eligible ones by score, then those that are not, by name. */
export function scoreTargets(need: WorkloadNeed, nodes: readonly NodeView[], context: ScoreContext = noContext): TargetScore[] {
  const source = nodes.find((node) => node.id === need.nodeId);
  return nodes.map((node) => explainTarget(need, source, node, context)).sort(byScore);
}

const byScore = (a: TargetScore, b: TargetScore): number =>
  Number(b.isEligible) - Number(a.isEligible) || b.score - a.score || (a.nodeId < b.nodeId ? -1 : 1);

/** The number alone, undefined for a node that cannot take it: for fleets where explaining every node would take too long. */
export function rateTarget(need: WorkloadNeed, source: NodeView | undefined, node: NodeView, context: ScoreContext): number | undefined {
  for (const refusal of refusals) if (refusal.is(need, source, node)) return undefined;
  let score = 0;
  for (const { weight, of } of parts) score += weight * of(need, source, node);
  for (const penalty of penalties) score -= penalty.of(need, source, node, context);
  return score;
}

/** Can it be a target of any workload at all? */
export const canBeTarget = (node: NodeView): boolean =>
  node.isConnected && !node.isCordoned && node.announced === undefined && node.capabilities?.criu?.available === true;

/** No workload is rated higher on it: the parts without what a workload needs, and without penalties. */
export const mostScore = (node: NodeView): number =>
  weights.memory * Math.min(1, node.memoryAvailableBytes / Math.max(1, node.memoryBytes)) +
  weights.processors * (1 - clamp(node.cpuFraction)) +
  weights.workloads / (1 + node.workloadCount) +
  weights.safety * safetyOf(node) +
  weights.price * (node.usdPerHour === undefined ? 0.5 : 1);

/** What every node of the pool loses at least. */
export function poolPenalty(pool: string, source: NodeView | undefined, { poolsUnderSignal: pools, picksByPool }: ScoreContext): number {
  if (pool === "") return 0;
  const isSame = source !== undefined && poolOf(source) === pool;
  return (pools.has(pool) ? 1 : 0) + (isSame ? 0.3 : 0) + Math.min(0.3, 0.1 * (picksByPool.get(pool) ?? 0));
}

/** The same with its reasons: of one that can take it, what each part of its score is and why, so that they add up to it. */
export function explainTarget(need: WorkloadNeed, source: NodeView | undefined, node: NodeView, context: ScoreContext): TargetScore {
  const score = rateTarget(need, source, node, context);
  const reasons =
    score === undefined
      ? refusals.filter((each) => each.is(need, source, node)).map((each) => each.say(need, source, node))
      : [
          ...parts.map(({ weight, of, say }) => `${say(need, node)} (+${(weight * of(need, source, node)).toFixed(3)})`),
          ...penalties.flatMap((each) => {
            const points = each.of(need, source, node, context);
            return points > 0 ? [`${each.say(need, source, node, context)} (-${points.toFixed(3)})`] : [];
          }),
        ];
  return create(TargetScoreSchema, {
    nodeId: node.id,
    score: Math.round((score ?? 0) * 1000) / 1000,
    isEligible: score !== undefined,
    reasons,
  });
}

const clamp = (value: number): number => Math.min(1, Math.max(0, value));

/** Unknown risk and price count as middling: neither punished nor rewarded. */
const unknownRisk = 0.05;
/** 1 for no risk, a half for 10 % an hour, and always less for more: new instances begin above that, and one of them may still be the better place. */
const safetyOf = ({ riskPerHour = unknownRisk }: NodeView): number => 1 / (1 + 10 * Math.max(0, riskPerHour));
const weights = { memory: 0.35, processors: 0.2, workloads: 0.15, safety: 0.2, price: 0.1 } as const;

interface Part {
  readonly weight: number;
  /** 0 to 1. */
  of(need: WorkloadNeed, source: NodeView | undefined, node: NodeView): number;
  say(need: WorkloadNeed, node: NodeView): string;
}

const gibibytes = (bytes: number): string => (bytes / 2 ** 30).toFixed(1);

const parts: readonly Part[] = [
  {
    weight: weights.memory,
    of: (need, _source, node) => Math.min(1, (node.memoryAvailableBytes - need.memoryBytes) / Math.max(1, node.memoryBytes)),
    say: (need, node) => `${gibibytes(node.memoryAvailableBytes - need.memoryBytes)} GiB stay free`,
  },
  {
    weight: weights.processors,
    of: (_need, _source, node) => 1 - clamp(node.cpuFraction),
    say: (_need, node) => `processors ${Math.round(clamp(node.cpuFraction) * 100)} % busy`,
  },
  {
    weight: weights.workloads,
    of: (_need, _source, node) => 1 / (1 + node.workloadCount),
    say: (_need, node) => `${node.workloadCount === 1 ? "1 workload" : `${node.workloadCount} workloads`} there`,
  },
  {
    weight: weights.safety,
    of: (_need, _source, node) => safetyOf(node),
    say: (_need, node) =>
      node.riskPerHour === undefined ? "its risk is not known" : `${(node.riskPerHour * 100).toFixed(1)} % an hour to be interrupted`,
  },
  {
    weight: weights.price,
    of: (_need, source, node) =>
      source?.usdPerHour && node.usdPerHour !== undefined ? clamp(1 - node.usdPerHour / (2 * source.usdPerHour)) : 0.5,
    say: (_need, node) => (node.usdPerHour === undefined ? "its price is not known" : `${node.usdPerHour.toFixed(4)} USD an hour`),
  },
];

interface Penalty {
  /** 0: does not apply. */
  of(need: WorkloadNeed, source: NodeView | undefined, node: NodeView, context: ScoreContext): number;
  say(need: WorkloadNeed, source: NodeView | undefined, node: NodeView, context: ScoreContext): string;
}

const penalties: readonly Penalty[] = [
  {
    of: (_need, _source, node, { poolsUnderSignal: pools }) => (pools.size > 0 && pools.has(poolOf(node)) ? 1 : 0),
    say: (_need, _source, node) => `its pool ${poolOf(node)} is under a signal: a last resort`,
  },
  {
    of: (need, _source, node, { openCircuits }) => (openCircuits.size > 0 && openCircuits.has(`${need.nodeId} ${node.id}`) ? 0.8 : 0),
    say: (need) => `moves from ${need.nodeId} to it failed in a row: a last resort`,
  },
  { of: (need, _source, node) => (need.leftRecently?.has(node.id) ? 0.5 : 0), say: () => "it came from there a short time ago" },
  {
    of: (_need, source, node) => (source !== undefined && isSamePool(source, node) ? 0.3 : 0),
    say: (_need, _source, node) => `the same pool, ${poolOf(node)}`,
  },
  {
    of: (need, source, node) => (need.hasSharedVolume && source?.zone && node.zone && node.zone !== source.zone ? 0.2 : 0),
    say: (_need, _source, node) => `another zone, and it has a shared volume: ${node.zone}`,
  },
  {
    of: (_need, _source, node, { picksByPool }) => (picksByPool.size > 0 ? Math.min(0.3, 0.1 * (picksByPool.get(poolOf(node)) ?? 0)) : 0),
    say: (_need, _source, node, { picksByPool }) => `${picksByPool.get(poolOf(node))} others of this plan go to its pool`,
  },
];

export const isSamePool = (a: NodeView, b: NodeView): boolean =>
  a.instanceType !== undefined && a.instanceType !== "" && a.instanceType === b.instanceType && a.zone !== "" && a.zone === b.zone;

interface Refusal {
  is(need: WorkloadNeed, source: NodeView | undefined, node: NodeView): boolean;
  say(need: WorkloadNeed, source: NodeView | undefined, node: NodeView): string;
}

const refusals: readonly Refusal[] = [
  { is: (need, _source, node) => node.id === need.nodeId, say: () => "it runs there" },
  { is: (need, _source, node) => node.id !== need.nodeId && !node.isConnected, say: () => "not connected" },
  { is: (need, _source, node) => node.id !== need.nodeId && node.isCordoned, say: () => "cordoned" },
  { is: (need, _source, node) => node.id !== need.nodeId && node.announced === "notice", say: () => "its own interruption is announced" },
  {
    is: (need, _source, node) => node.id !== need.nodeId && node.announced === "rebalance",
    say: () => "a rebalance is recommended for it",
  },
  {
    is: (need, _source, node) => node.id !== need.nodeId && !node.capabilities?.criu?.available,
    say: (_need, _source, node) => `cannot restore: ${node.capabilities?.criu?.reason || "its checkpoint tool is not available"}`,
  },
  {
    is: (need, source, node) => node.id !== need.nodeId && lacks(need, source?.capabilities, node.capabilities).length > 0,
    say: (need, source, node) => lacks(need, source?.capabilities, node.capabilities).join(", "),
  },
  {
    is: (need, _source, node) => node.id !== need.nodeId && node.memoryAvailableBytes < need.memoryBytes + spareMemoryBytes,
    say: (need, _source, node) =>
      `${mebibytes(node.memoryAvailableBytes)} MiB free, ${mebibytes(need.memoryBytes + spareMemoryBytes)} MiB needed`,
  },
];

const nothingLacks: readonly string[] = [];

/** By what the workload needs where its node has found that out; else by all that its node has, which refuses too often but never too late. */
function lacks(need: WorkloadNeed, there: NodeCapabilities | undefined, has: NodeCapabilities | undefined): readonly string[] {
  if (has === undefined) return nothingLacks;
  const { needs } = need;
  const arch = needs?.arch || there?.arch;
  if (arch && has.arch !== arch) return [`processor ${has.arch || "unknown"}, not ${arch}`];
  const missing = missingFrom(needs?.cpuFeatures ?? there?.cpuFeatures ?? nothingLacks, has.cpuFeatures);
  const state = needs && has.xsaveComponents.length > 0 ? missingFrom(needs.xsaveComponents, has.xsaveComponents) : nothingLacks;
  const noTime = needs?.timeNamespace === true && !has.timeNamespace;
  const others = misfits(needs?.criuVersion || there?.criu?.version || "", needs?.threadCount ?? 0, has);
  if (missing.length === 0 && state.length === 0 && !noTime && others.length === 0) return nothingLacks;
  return [
    ...(missing.length === 0 ? [] : [`lacks processor features ${missing.slice(0, 5).join(", ")}${missing.length > 5 ? ", …" : ""}`]),
    ...(state.length === 0 ? [] : [`lacks processor state ${state.join(", ")}`]),
    ...(noTime ? ["its kernel has no time namespaces"] : []),
    ...others,
  ];
}

const known = new WeakMap<NodeCapabilities, Map<string, readonly string[]>>();

/**
 * What else the source's preflight would refuse the target for, by the same function: found there it would cost the move, found here another node. The answers
 * for a node are few, and asked for again for each workload of a wave.
 */
function misfits(criuVersion: string, threadCount: number, has: NodeCapabilities): readonly string[] {
  const answers = known.get(has) ?? new Map<string, readonly string[]>();
  known.set(has, answers);
  const key = `${criuVersion} ${threadCount}`;
  const before = answers.get(key);
  if (before !== undefined) return before;
  const { blockers } = targetMisfits({ criuVersion, threadCount }, { criuVersion: has.criu?.version ?? "", pidLimit: has.pidLimit });
  const found = blockers.length === 0 ? nothingLacks : blockers.map(({ message }) => message);
  answers.set(key, found);
  return found;
}

/** The lists of a fleet are mostly the same one over and over: each is made into a set once. */
const sets = new WeakMap<readonly string[], { readonly names: Set<string>; readonly text: string }>();

function setOf(names: readonly string[]): { readonly names: Set<string>; readonly text: string } {
  const known = sets.get(names);
  if (known !== undefined) return known;
  const made = { names: new Set(names), text: names.join() };
  sets.set(names, made);
  return made;
}

function missingFrom(wanted: readonly string[], has: readonly string[]): readonly string[] {
  if (wanted.length === 0 || setOf(wanted).text === setOf(has).text) return nothingLacks;
  const there = setOf(has).names;
  return wanted.filter((each) => !there.has(each));
}

const mebibytes = (bytes: number): number => Math.round(bytes / 1_048_576);
