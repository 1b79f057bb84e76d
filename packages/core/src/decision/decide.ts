// What a signal means for a node's workloads: a pure function with named rules. It also says what was not moved and why, and which targets
// were looked at: a decision is kept for ever and must explain itself without the rest of the database.
import { type DecisionMove, DecisionMoveSchema } from "@aether/contract/gen/aether/v2/signal_pb";
import { create } from "@bufbuild/protobuf";
import type { SignalKindText, WorkloadStateText } from "../db/schema.ts";
import { type NodeView, planTargets } from "../migration/plan.ts";

export interface DecisionPolicy {
  /** What a rebalance recommendation leads to. A notice always leads to moves. */
  readonly onRebalance: "migrate" | "hold";
}

export interface SignalView {
  readonly kind: SignalKindText;
  readonly nodeId: string;
  /** When the node will be gone; undefined where the signal does not say. */
  readonly effectiveAtMs: number | undefined;
}

export interface WorkloadView {
  readonly name: string;
  readonly state: WorkloadStateText;
  readonly memoryBytes: number;
  /** The move in progress, and where to. */
  readonly migration: { readonly id: string; readonly targetNodeId: string } | undefined;
}

export interface DecisionInput {
  readonly signal: SignalView;
  /** Of the signal's node. */
  readonly workloads: readonly WorkloadView[];
  /** All nodes, the signal's own included. */
  readonly nodes: readonly NodeView[];
  readonly policy: DecisionPolicy;
}

export type Rule =
  | "signal-withdrawn"
  | "node-lost-hold"
  | "nothing-to-move"
  | "notice-expired"
  | "notice-evacuate"
  | "notice-no-target"
  | "rebalance-early-move"
  | "rebalance-no-target"
  | "rebalance-policy-hold";

export interface DecisionPlan {
  readonly action: "migrate" | "hold" | "none";
  readonly rule: Rule;
  readonly reason: string;
  /** One a workload of the node; without a refusal and without a migration id: to be moved to the target that is named. */
  readonly moves: readonly DecisionMove[];
}

/** @param nowMs core's clock, as is `effectiveAtMs`. */
export function decide(input: DecisionInput, nowMs: number): DecisionPlan {
  const { signal, workloads, policy } = input;
  if (signal.kind === "withdrawn")
    return none("signal-withdrawn", `what was announced for ${signal.nodeId} is withdrawn; moves under way go on`);
  if (signal.kind === "node_lost") {
    return hold(
      "node-lost-hold",
      `${signal.nodeId} is not heard: what runs there may go on running, so nothing is started elsewhere`,
      refuseAll(input, "its node is not heard"),
    );
  }
  if (workloads.length === 0) return none("nothing-to-move", `nothing runs on ${signal.nodeId}`);
  const leftMs = signal.effectiveAtMs === undefined ? undefined : signal.effectiveAtMs - nowMs;
  if (leftMs !== undefined && leftMs <= 0) {
    return hold(
      "notice-expired",
      `${signal.nodeId} should be gone since ${Math.round(-leftMs / 1000)} s`,
      refuseAll(input, "the time is over"),
    );
  }
  if (signal.kind === "rebalance" && policy.onRebalance === "hold") {
    return hold("rebalance-policy-hold", "the policy waits for a notice", refuseAll(input, "the policy waits for a notice"));
  }
  const moves = movesOf(input);
  const moved = moves.filter((move) => move.refusal === "");
  const isNotice = signal.kind === "notice";
  if (moved.length === 0) {
    const reason = `none of the ${moves.length} workloads of ${signal.nodeId} can be moved: ${moves.map((move) => `${move.workload}: ${move.refusal}`).join("; ")}`;
    return hold(isNotice ? "notice-no-target" : "rebalance-no-target", reason, moves);
  }
  const refused = moves.length - moved.length;
  const why = isNotice
    ? `${signal.nodeId} will be gone${leftMs === undefined ? "" : ` in ${Math.round(leftMs / 1000)} s`}`
    : `a rebalance is recommended for ${signal.nodeId}, and healthy targets exist`;
  return {
    action: "migrate",
    rule: isNotice ? "notice-evacuate" : "rebalance-early-move",
    reason: `${why}: ${moved.length} of ${moves.length} workloads move${refused === 0 ? "" : `, ${refused} cannot`}`,
    moves,
  };
}

function movesOf({ signal, workloads, nodes }: DecisionInput): DecisionMove[] {
  const movable = workloads.filter((each) => each.migration === undefined && each.state === "running");
  const plan = planTargets(
    movable.map((each) => ({ name: each.name, nodeId: signal.nodeId, memoryBytes: each.memoryBytes })),
    nodes,
  );
  return [...workloads]
    .sort((a, b) => a.name.localeCompare(b.name))
    .map((each) => {
      if (each.migration !== undefined) {
        return create(DecisionMoveSchema, {
          workload: each.name,
          targetNodeId: each.migration.targetNodeId,
          migrationId: each.migration.id,
        });
      }
      const candidates = plan.get(each.name);
      if (candidates === undefined) return create(DecisionMoveSchema, { workload: each.name, refusal: `it does not run (${each.state})` });
      const best = candidates[0];
      if (best?.isEligible) return create(DecisionMoveSchema, { workload: each.name, targetNodeId: best.nodeId, candidates });
      const reasons = candidates
        .filter((node) => node.nodeId !== signal.nodeId)
        .map((node) => `${node.nodeId}: ${node.reasons.join(", ")}`);
      return create(DecisionMoveSchema, {
        workload: each.name,
        refusal: `no node can take it${reasons.length === 0 ? ": there is no other node" : ` (${reasons.join("; ")})`}`,
        candidates,
      });
    });
}

const refuseAll = ({ workloads }: DecisionInput, refusal: string): DecisionMove[] =>
  workloads.map((each) => create(DecisionMoveSchema, { workload: each.name, refusal }));

const none = (rule: Rule, reason: string): DecisionPlan => ({ action: "none", rule, reason, moves: [] });
const hold = (rule: Rule, reason: string, moves: readonly DecisionMove[]): DecisionPlan => ({ action: "hold", rule, reason, moves });
