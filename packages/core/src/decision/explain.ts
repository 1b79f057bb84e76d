// What a decision says beside its moves: what it was made of, and what else could have been done.
import type { DecisionMove } from "@aether/contract/gen/aether/v2/signal_pb";
import type { NodeView } from "../migration/plan.ts";
import type { Weighed } from "../risk/weigh.ts";
import type { DecisionInput, SignalView, WorkloadView } from "./input.ts";
import type { Fact } from "./rules.ts";
import { weighedOf } from "./weighed.ts";

const fits = new WeakMap<readonly NodeView[], number>();

/** Counted once a batch: a wave is hundreds of signals. */
function fitIn(nodes: readonly NodeView[]): number {
  const known = fits.get(nodes);
  if (known !== undefined) return known;
  const fit = nodes.filter((node) => node.isConnected && !node.isCordoned && node.announced === undefined).length;
  fits.set(nodes, fit);
  return fit;
}

/** A workload that has just begun has not been measured yet: that is not told as 0. */
function memoryOf(workloads: readonly WorkloadView[]): string {
  const mebibytes = Math.round(workloads.reduce((sum, each) => sum + each.memoryBytes, 0) / 1_048_576);
  const unmeasured = workloads.filter((each) => each.memoryBytes === 0).length;
  if (unmeasured === 0) return `${mebibytes} MiB`;
  return unmeasured === workloads.length ? "not measured yet" : `${mebibytes} MiB, and what ${unmeasured} of them have, not measured yet`;
}

export function inputsOf(input: DecisionInput, signal: SignalView, workloads: readonly WorkloadView[], leftMs: number | undefined): Fact[] {
  const { nodes, rails, policy } = input;
  return [
    { name: "signal", value: signal.kind },
    ...(leftMs === undefined ? [] : [{ name: "time left", value: `${(leftMs / 1000).toFixed(1)} s` }]),
    { name: "workloads on the node", value: String(workloads.length) },
    { name: "memory to carry", value: memoryOf(workloads) },
    ...(nodes.length === 0
      ? []
      : [{ name: "nodes that are connected, not cordoned and not announced", value: `${fitIn(nodes)} of ${nodes.length}` }]),
    { name: "moves under way", value: `${rails.limits.busyInAll} of ${rails.limits.movesAtOnce}` },
    { name: "policy on a rebalance recommendation", value: policy.onRebalance },
    ...workloads.flatMap(({ name, mode = "auto" }) =>
      mode === "auto" ? [] : [{ name: `mode that a policy of ${name} wishes for`, value: mode }],
    ),
    ...riskOf(weighedOf(input, signal, workloads)),
    ...workloads.flatMap((each) =>
      weighedOf(input, signal, [each]).map(({ reason }) => ({ name: `does a move of ${each.name} pay`, value: reason })),
    ),
  ];
}

/** What the model said of both sides; the same for all workloads of a node. */
function riskOf(weighed: readonly Weighed[]): Fact[] {
  const { sides } = weighed.find((each) => each.sides !== undefined) ?? {};
  if (sides === undefined) return [];
  const minutes = Math.round(sides.horizonSeconds / 60);
  return [
    { name: "risk model", value: sides.modelVersion },
    ...[sides.here, ...(sides.target === undefined ? [] : [sides.target])].map(({ nodeId, probability, usdPerHour }) => ({
      name: `interruption of ${nodeId} within ${minutes} min`,
      value: `${(100 * probability).toFixed(1)} %${usdPerHour === undefined ? "" : `, at ${usdPerHour} USD an hour`}`,
    })),
  ];
}

export function alternativesOf(signal: SignalView, moves: readonly DecisionMove[]): string[] {
  const seconds = moves.flatMap(({ workload, targetNodeId, candidates }) => {
    const second = candidates.find((each) => each.isEligible && each.nodeId !== targetNodeId);
    const first = candidates.find((each) => each.nodeId === targetNodeId);
    return second === undefined || first === undefined
      ? []
      : [`${workload} to ${second.nodeId}: score ${second.score} against ${first.score}`];
  });
  const stay =
    signal.kind === "notice" ? "stay: everything there ends with the node" : "stay until a notice comes: two minutes instead of no hurry";
  return [stay, ...seconds.slice(0, 10)];
}
