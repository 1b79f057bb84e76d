// Which node takes a workload: every node is looked at, each gets a score and its reasons, and whoever cannot take it says why. Pure.
//
//   score = 0.35 memory that stays free + 0.2 idle processors + 0.15 few workloads + 0.2 own safety + 0.1 price     (0 to 1)
//         - 1 its pool is under a signal - 0.8 moves between the two failed in a row - 0.5 it came from there just now
//         - 0.3 the pool that is being left - 0.1 for each other move of the same plan into its pool
// Below zero is a last resort: taken on a notice when nothing else is left, never for a move that nothing forces.
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
  /** Probability of an interruption within an hour, as last assessed; undefined where nobody did. */
  readonly riskPerHour?: number | undefined;
  readonly usdPerHour?: number | undefined;
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
  /** Nodes to which moves from this source failed in a row. */
  readonly openCircuits: ReadonlySet<string>;
  /** Moves of the same plan into each pool so far. */
  readonly picksByPool: ReadonlyMap<string, number>;
}

export const noContext: ScoreContext = { poolsUnderSignal: new Set(), openCircuits: new Set(), picksByPool: new Map() };

/** Memory that stays free on a target beside the workload itself: the checkpoint's images pass through the page cache. */
export const spareMemoryBytes = 64 * 1024 * 1024;

/** "m5.large/us-east-1a"; empty where the cloud does not say. */
export const poolOf = (node: Pick<NodeView, "instanceType" | "zone">): string =>
  node.instanceType && node.zone ? `${node.instanceType}/${node.zone}` : "";

/** All nodes for one workload, best first: eligible ones by score, then those that are not, by name. */
export function scoreTargets(need: WorkloadNeed, nodes: readonly NodeView[], context: ScoreContext = noContext): TargetScore[] {
  const source = nodes.find((node) => node.id === need.nodeId);
  return nodes.map((node) => scoreTarget(need, source, node, context)).sort(byScore);
}

const byScore = (a: TargetScore, b: TargetScore): number =>
  Number(b.isEligible) - Number(a.isEligible) || b.score - a.score || (a.nodeId < b.nodeId ? -1 : 1);

export function scoreTarget(need: WorkloadNeed, source: NodeView | undefined, node: NodeView, context: ScoreContext): TargetScore {
  const refusals = refusalsOf(need, source, node);
  if (refusals.length > 0) return create(TargetScoreSchema, { nodeId: node.id, score: 0, isEligible: false, reasons: refusals });
  const free = Math.min(1, (node.memoryAvailableBytes - need.memoryBytes) / Math.max(1, node.memoryBytes));
  const idle = 1 - Math.min(1, Math.max(0, node.cpuFraction));
  const quiet = 1 / (1 + node.workloadCount);
  // Unknown risk and price count as middling: neither punished nor rewarded.
  const safe = 1 - Math.min(1, (node.riskPerHour ?? 0.05) * 10);
  const cheap =
    source?.usdPerHour && node.usdPerHour !== undefined ? Math.min(1, Math.max(0, 1 - node.usdPerHour / (2 * source.usdPerHour))) : 0.5;
  const reasons = [
    `${mebibytes(node.memoryAvailableBytes - need.memoryBytes)} MiB stay free`,
    `processors ${Math.round((1 - idle) * 100)} % busy`,
    `${node.workloadCount} workloads there`,
    ...(node.riskPerHour === undefined ? [] : [`${(node.riskPerHour * 100).toFixed(1)} % an hour to be interrupted`]),
    ...(node.usdPerHour === undefined ? [] : [`${node.usdPerHour.toFixed(4)} USD an hour`]),
  ];
  let score = 0.35 * free + 0.2 * idle + 0.15 * quiet + 0.2 * safe + 0.1 * cheap;
  for (const { minus, why } of penaltiesOf(need, source, node, context)) {
    score -= minus;
    reasons.push(why);
  }
  return create(TargetScoreSchema, { nodeId: node.id, score: Math.round(score * 1000) / 1000, isEligible: true, reasons });
}

function penaltiesOf(
  need: WorkloadNeed,
  source: NodeView | undefined,
  node: NodeView,
  context: ScoreContext,
): { minus: number; why: string }[] {
  const pool = poolOf(node);
  const picks = context.picksByPool.get(pool) ?? 0;
  const found: { minus: number; why: string }[] = [];
  if (pool !== "" && context.poolsUnderSignal.has(pool)) found.push({ minus: 1, why: `its pool ${pool} is under a signal: a last resort` });
  if (context.openCircuits.has(node.id)) found.push({ minus: 0.8, why: `moves from ${need.nodeId} to it failed in a row: a last resort` });
  if (need.leftRecently?.has(node.id)) found.push({ minus: 0.5, why: "it came from there a short time ago" });
  if (pool !== "" && source !== undefined && poolOf(source) === pool) found.push({ minus: 0.3, why: `the same pool, ${pool}` });
  if (need.hasSharedVolume && source?.zone && node.zone && node.zone !== source.zone)
    found.push({ minus: 0.2, why: `another zone, and it has a shared volume: ${node.zone}` });
  if (picks > 0) found.push({ minus: Math.min(0.3, 0.1 * picks), why: `${picks} others of this plan go to its pool` });
  return found;
}

function refusalsOf(need: WorkloadNeed, source: NodeView | undefined, node: NodeView): string[] {
  if (node.id === need.nodeId) return ["it runs there"];
  const reasons: string[] = [];
  if (!node.isConnected) reasons.push("not connected");
  if (node.isCordoned) reasons.push("cordoned");
  if (node.announced === "notice") reasons.push("its own interruption is announced");
  if (node.announced === "rebalance") reasons.push("a rebalance is recommended for it");
  const has = node.capabilities;
  if (!has?.criu?.available) reasons.push(`cannot restore: ${has?.criu?.reason || "its checkpoint tool is not available"}`);
  if (has) reasons.push(...lacks(need, source?.capabilities, has));
  const wantedBytes = need.memoryBytes + spareMemoryBytes;
  if (node.memoryAvailableBytes < wantedBytes) {
    reasons.push(`${mebibytes(node.memoryAvailableBytes)} MiB free, ${mebibytes(wantedBytes)} MiB needed`);
  }
  return reasons;
}

/** By what the workload needs where its node has found that out; else by all that its node has, which refuses too often but never too late. */
function lacks(need: WorkloadNeed, there: NodeCapabilities | undefined, has: NodeCapabilities): string[] {
  const reasons: string[] = [];
  const { needs } = need;
  const arch = needs?.arch || there?.arch;
  if (arch && has.arch !== arch) return [`processor ${has.arch || "unknown"}, not ${arch}`];
  const missing = missingFrom(needs?.cpuFeatures ?? there?.cpuFeatures ?? [], has.cpuFeatures);
  if (missing.length > 0) reasons.push(`lacks processor features ${missing.slice(0, 5).join(", ")}${missing.length > 5 ? ", …" : ""}`);
  if (needs && has.xsaveComponents.length > 0) {
    const state = missingFrom(needs.xsaveComponents, has.xsaveComponents);
    if (state.length > 0) reasons.push(`lacks processor state ${state.join(", ")}`);
  }
  if (needs?.timeNamespace && !has.timeNamespace) reasons.push("its kernel has no time namespaces");
  return reasons;
}

function missingFrom(wanted: readonly string[], has: readonly string[]): string[] {
  if (wanted.length === 0) return [];
  const there = new Set(has);
  return wanted.filter((each) => !there.has(each));
}

const mebibytes = (bytes: number): number => Math.round(bytes / 1_048_576);

/** A target for each workload, the largest first; what one takes is no longer there for the next. */
export function planTargets(needs: readonly WorkloadNeed[], nodes: readonly NodeView[]): Map<string, TargetScore[]> {
  let left = nodes;
  const plan = new Map<string, TargetScore[]>();
  for (const need of [...needs].sort((a, b) => b.memoryBytes - a.memoryBytes || a.name.localeCompare(b.name))) {
    const scores = scoreTargets(need, left);
    plan.set(need.name, scores);
    const chosen = scores[0];
    if (!chosen?.isEligible) continue;
    left = left.map((node) =>
      node.id === chosen.nodeId
        ? { ...node, memoryAvailableBytes: node.memoryAvailableBytes - need.memoryBytes, workloadCount: node.workloadCount + 1 }
        : node,
    );
  }
  return plan;
}
