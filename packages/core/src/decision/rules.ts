// The rules by name, and what a decision says.
import type { GuardNote } from "@aether/contract/gen/aether/v2/guard_pb";
import type { DecisionMove } from "@aether/contract/gen/aether/v2/signal_pb";

/** Of the rules below: grows when one of them changes what it decides. */
export const ruleVersion = "evacuation/4";

export type Rule =
  | "signal-withdrawn"
  | "node-lost-hold"
  | "nothing-to-move"
  | "superseded"
  | "notice-expired"
  | "moves-paused"
  | "notice-evacuate"
  | "notice-snapshot"
  | "notice-no-target"
  | "notice-given-up"
  | "rebalance-early-move"
  | "rebalance-no-target"
  | "rebalance-policy-hold"
  | "rebalance-outside-window"
  | "rebalance-resting"
  | "rebalance-does-not-pay"
  | "risk-early-move"
  | "risk-no-target"
  | "risk-outside-window"
  | "risk-resting"
  | "risk-does-not-pay";

export interface DecisionPlan {
  readonly action: "migrate" | "snapshot" | "hold" | "none";
  readonly rule: Rule;
  readonly reason: string;
  /** One a workload of the node; without a refusal and without a migration id: to be moved to the target that is named. */
  readonly moves: readonly DecisionMove[];
  readonly inputs: readonly Fact[];
  readonly guards: readonly GuardNote[];
  readonly alternatives: readonly string[];
  /** Where moves were weighed: the highest of expected loss over cost, and what it had to exceed. */
  readonly score?: number;
  readonly threshold?: number;
}

export interface Fact {
  readonly name: string;
  readonly value: string;
}
