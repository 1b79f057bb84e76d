// A signal that leads to moves: what was planned for each workload, said with its reasons.
import type { GuardNote } from "@aether/contract/gen/aether/v2/guard_pb";
import { type DecisionMove, DecisionMoveSchema } from "@aether/contract/gen/aether/v2/signal_pb";
import { create } from "@bufbuild/protobuf";
import { note, type WaveMove } from "../migration/wave.ts";
import { shutBy } from "../policy/resolve.ts";
import { alternativesOf, inputsOf } from "./explain.ts";
import { outsideOf } from "./hold.ts";
import type { DecisionInput, SignalView, WorkloadView } from "./input.ts";
import type { DecisionPlan, Rule } from "./rules.ts";
import { forces, scoreOf, weighedOf } from "./weighed.ts";

export function withMoves(
  input: DecisionInput,
  signal: SignalView,
  workloads: readonly WorkloadView[],
  leftMs: number | undefined,
  wave: ReadonlyMap<string, WaveMove>,
  nowMs: number,
): DecisionPlan {
  const isNotice = signal.kind === "notice";
  const moves = [...workloads]
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .map((each) => moveOf(input, signal, each, wave.get(each.name), nowMs));
  const moved = moves.filter((move) => move.refusal === "");
  const kept = moves.filter((move) => move.action === "snapshot");
  const guards = [...moves.flatMap((move) => move.guards), ...overriddenRest(input, workloads, isNotice)];
  const common = {
    moves,
    guards,
    inputs: inputsOf(input, signal, workloads, leftMs),
    ...scoreOf(weighedOf(input, signal, workloads)),
  };
  const alternatives = alternativesOf(signal, moves);
  if (moved.length === 0) {
    const why = moves.map((move) => `${move.workload}: ${move.refusal}`).join("; ");
    if (kept.length > 0) {
      return {
        ...common,
        action: "snapshot",
        rule: "notice-snapshot",
        reason: `none of the ${moves.length} workloads of ${signal.nodeId} would make it: ${why}`,
        alternatives,
      };
    }
    const reason = `none of the ${moves.length} workloads of ${signal.nodeId} can be moved: ${why}`;
    return { ...common, action: "hold", rule: ruleOf(signal, "no-target"), reason, alternatives };
  }
  const left = moves.length - moved.length - kept.length;
  const why = isNotice
    ? `${signal.nodeId} will be gone${leftMs === undefined ? "" : ` in ${Math.round(leftMs / 1000)} s`}`
    : signal.kind === "risk"
      ? `moving away from ${signal.nodeId} is expected to pay`
      : `a rebalance is recommended for ${signal.nodeId}, and healthy targets exist`;
  const moving = moves.length === 1 && moved.length === 1 ? "its workload moves" : `${moved.length} of ${moves.length} workloads move`;
  const rest = `${kept.length === 0 ? "" : `, ${kept.length} ${kept.length === 1 ? "is" : "are"} kept in snapshots first`}${left === 0 ? "" : `, ${left} cannot`}`;
  return {
    ...common,
    action: "migrate",
    rule: ruleOf(signal, "move"),
    reason: `${why}: ${moving}${rest}`,
    alternatives,
  };
}

function ruleOf({ kind }: SignalView, what: "move" | "no-target"): Rule {
  if (kind === "notice") return what === "move" ? "notice-evacuate" : "notice-no-target";
  if (kind === "risk") return what === "move" ? "risk-early-move" : "risk-no-target";
  return what === "move" ? "rebalance-early-move" : "rebalance-no-target";
}

function moveOf(input: DecisionInput, signal: SignalView, each: WorkloadView, planned: WaveMove | undefined, nowMs: number): DecisionMove {
  const isNotice = forces(signal);
  const base = { workload: each.name, priority: each.priority };
  if (each.migration !== undefined)
    return create(DecisionMoveSchema, {
      ...base,
      targetNodeId: each.migration.targetNodeId,
      migrationId: each.migration.id,
      action: "move",
    });
  const rest = input.rails.resting.get(each.name);
  if (planned === undefined && rest !== undefined && !isNotice)
    return create(DecisionMoveSchema, {
      ...base,
      refusal: `it rests: ${rest.reason}`,
      action: "stay",
      guards: [note("resting", each.name, "refused", rest.reason)],
    });
  const shut = isNotice ? undefined : shutBy(each.windows ?? [], nowMs);
  if (planned === undefined && shut !== undefined)
    return create(DecisionMoveSchema, {
      ...base,
      refusal: outsideOf(shut),
      action: "stay",
      guards: [note("window", each.name, "refused", `no window of ${shut} is open`)],
    });
  const [weighed] = weighedOf(input, signal, [each]);
  if (planned === undefined && weighed?.action === "stay" && each.state === "running")
    return create(DecisionMoveSchema, { ...base, refusal: `it does not pay to move: ${weighed.reason}`, action: "stay" });
  if (planned === undefined) return create(DecisionMoveSchema, { ...base, refusal: `it does not run (${each.state})`, action: "stay" });
  const { action, candidates, startsAfterMs, safeAfterMs, targetNodeId, guards, reason } = planned;
  const refusal = action === "move" ? "" : refusalOf(reason, planned);
  return create(DecisionMoveSchema, {
    ...base,
    action,
    targetNodeId,
    candidates: [...candidates],
    startsAfterMs,
    safeAfterMs,
    guards: [...guards],
    refusal,
  });
}

/** Where no node can take it, each says why. */
function refusalOf(reason: string, { candidates, need }: WaveMove): string {
  const others = candidates.filter((node) => node.nodeId !== need.nodeId && !node.isEligible);
  if (!reason.startsWith("no node can take it") || others.length === 0) return reason;
  return `no node can take it (${others.map((node) => `${node.nodeId}: ${node.reasons.join(", ")}`).join("; ")})${reason.slice("no node can take it".length)}`;
}

/** A notice does not wait for rest: that it would have is said. */
function overriddenRest({ rails }: DecisionInput, workloads: readonly WorkloadView[], isNotice: boolean): GuardNote[] {
  if (!isNotice) return [];
  return workloads.flatMap((each) => {
    const rest = rails.resting.get(each.name);
    return rest === undefined ? [] : [note("resting", each.name, "overridden", `${rest.reason}; a notice does not wait`)];
  });
}
