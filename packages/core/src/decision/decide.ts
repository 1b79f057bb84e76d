// What signals mean for the workloads of their nodes: a pure function with named rules, over one batch of signals, because a wave comes as many at
// once and must be planned as one. It also says what was not moved and why, what else could have been done, which guard rails bit, and which targets
// were looked at: a decision is kept for ever and must explain itself without the rest of the database.
import { planWave, type WaveNeed } from "../migration/wave.ts";
import { shutBy } from "../policy/resolve.ts";
import { withoutMoves } from "./hold.ts";
import type { DecisionInput, SignalView, WorkloadView } from "./input.ts";
import { withMoves } from "./moves.ts";
import type { DecisionPlan } from "./rules.ts";
import { forces, weighedOf } from "./weighed.ts";

/** One plan a signal, by its id. @param nowMs core's clock, as is `effectiveAtMs`. */
export function decide(input: DecisionInput, nowMs: number): Map<string, DecisionPlan> {
  const plans = new Map<string, DecisionPlan>();
  const open: { signal: SignalView; workloads: readonly WorkloadView[]; leftMs: number | undefined }[] = [];
  const noticed = new Set(input.signals.filter(({ kind }) => kind === "notice").map(({ nodeId }) => nodeId));
  const taken = new Set<string>();
  for (const signal of input.signals) {
    const workloads = input.workloads.get(signal.nodeId) ?? [];
    const leftMs = signal.kind === "notice" && signal.effectiveAtMs !== undefined ? signal.effectiveAtMs - nowMs : undefined;
    const isSuperseded = taken.has(signal.nodeId) || (!forces(signal) && noticed.has(signal.nodeId));
    const plan = withoutMoves(input, signal, workloads, leftMs, isSuperseded, nowMs);
    if (plan !== undefined) plans.set(signal.id, plan);
    else {
      taken.add(signal.nodeId);
      open.push({ signal, workloads, leftMs });
    }
  }
  const needs = open.flatMap(({ signal, workloads, leftMs }) => needsOf(input, signal, workloads, leftMs, nowMs));
  const wave = new Map(planWave(needs, input.nodes, input.context, input.rails.limits).map((move) => [move.need.name, move]));
  for (const { signal, workloads, leftMs } of open) plans.set(signal.id, withMoves(input, signal, workloads, leftMs, wave, nowMs));
  return plans;
}

function needsOf(
  input: DecisionInput,
  signal: SignalView,
  workloads: readonly WorkloadView[],
  leftMs: number | undefined,
  nowMs: number,
): WaveNeed[] {
  const isForced = signal.kind === "notice";
  return workloads
    .filter((each) => each.migration === undefined && each.state === "running" && (isForced || !input.rails.resting.has(each.name)))
    .filter((each) => isForced || shutBy(each.windows ?? [], nowMs) === undefined)
    .filter((each) => weighedOf(input, signal, [each])[0]?.action !== "stay")
    .map(({ name, memoryBytes, priority, needs, hasSharedVolume, times }) => ({
      name,
      nodeId: signal.nodeId,
      memoryBytes,
      priority,
      needs,
      hasSharedVolume,
      times,
      leftRecently: input.rails.leftRecently.get(name) ?? new Set<string>(),
      leftMs: isForced ? (leftMs ?? defaultNoticeMs) : undefined,
    }));
}

/** AWS announces two minutes ahead; a notice that names no time is taken as that. */
const defaultNoticeMs = 120_000;
