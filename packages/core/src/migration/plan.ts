// Which node takes a workload: every node is looked at, each gets a score and its reasons, and whoever cannot take it says why.
// Pure. Several workloads that leave together are planned together, so that none is promised the room of another.
import type { NodeCapabilities } from "@aether/contract/gen/aether/v2/node_pb";
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
}

export interface WorkloadNeed {
  readonly name: string;
  readonly nodeId: string;
  /** As last measured, or its limit. */
  readonly memoryBytes: number;
}

/** Memory that stays free on a target beside the workload itself: the checkpoint's images pass through the page cache. */
export const spareMemoryBytes = 64 * 1024 * 1024;

/** All nodes for one workload, best first: eligible ones by score, then those that are not, by name. */
export function scoreTargets(need: WorkloadNeed, nodes: readonly NodeView[]): TargetScore[] {
  const source = nodes.find((node) => node.id === need.nodeId);
  return nodes
    .map((node) => scoreOf(need, source, node))
    .sort((a, b) => Number(b.isEligible) - Number(a.isEligible) || b.score - a.score || a.nodeId.localeCompare(b.nodeId));
}

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

function scoreOf(need: WorkloadNeed, source: NodeView | undefined, node: NodeView): TargetScore {
  const refusals = refusalsOf(need, source, node);
  if (refusals.length > 0) return create(TargetScoreSchema, { nodeId: node.id, score: 0, isEligible: false, reasons: refusals });
  const free = (node.memoryAvailableBytes - need.memoryBytes) / Math.max(1, node.memoryBytes);
  const idle = 1 - Math.min(1, Math.max(0, node.cpuFraction));
  const quiet = 1 / (1 + node.workloadCount);
  return create(TargetScoreSchema, {
    nodeId: node.id,
    score: Math.round((0.5 * Math.min(1, free) + 0.3 * idle + 0.2 * quiet) * 1000) / 1000,
    isEligible: true,
    reasons: [
      `${mebibytes(node.memoryAvailableBytes - need.memoryBytes)} MiB stay free`,
      `processors ${Math.round((1 - idle) * 100)} % busy`,
      `${node.workloadCount} workloads there`,
    ],
  });
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
  const wants = source?.capabilities;
  if (has && wants && has.arch !== wants.arch) reasons.push(`processor ${has.arch || "unknown"}, not ${wants.arch}`);
  if (has && wants) {
    const there = new Set(has.cpuFeatures);
    const missing = wants.cpuFeatures.filter((feature) => !there.has(feature));
    if (missing.length > 0) reasons.push(`lacks processor features ${missing.slice(0, 5).join(", ")}${missing.length > 5 ? ", …" : ""}`);
  }
  const wantedBytes = need.memoryBytes + spareMemoryBytes;
  if (node.memoryAvailableBytes < wantedBytes) {
    reasons.push(`${mebibytes(node.memoryAvailableBytes)} MiB free, ${mebibytes(wantedBytes)} MiB needed`);
  }
  return reasons;
}

const mebibytes = (bytes: number): number => Math.round(bytes / 1_048_576);
