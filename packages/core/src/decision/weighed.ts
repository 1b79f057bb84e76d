// Which signals force a move, and what the sums say of the others.
import type { Weighed } from "../risk/weigh.ts";
import type { DecisionInput, SignalView, WorkloadView } from "./input.ts";

/** A notice does not wait for windows, rest or sums. */
export const forces = ({ kind }: SignalView): boolean => kind === "notice";

/** Of those workloads, the ones whose move was weighed for this signal. */
export function weighedOf({ policy, weighed }: DecisionInput, signal: SignalView, workloads: readonly WorkloadView[]): Weighed[] {
  if (forces(signal) || (signal.kind === "rebalance" && policy.onRebalance !== "weigh")) return [];
  return workloads.flatMap(({ name }) => weighed.get(name) ?? []);
}

export function scoreOf(weighed: readonly Weighed[]): { score?: number; threshold?: number } {
  const scores = weighed.filter(({ moveUsd }) => moveUsd > 0).map(({ stayUsd, moveUsd }) => stayUsd / moveUsd);
  const threshold = weighed[0]?.threshold;
  return scores.length === 0 || threshold === undefined ? {} : { score: Math.max(...scores), threshold };
}
