// Signals that lead to no move whatever the plan would be, each with the rule that says so.
import type { GuardNote } from "@aether/contract/gen/aether/v2/guard_pb";
import { DecisionMoveSchema } from "@aether/contract/gen/aether/v2/signal_pb";
import { create } from "@bufbuild/protobuf";
import { note } from "../migration/wave.ts";
import { shutBy } from "../policy/resolve.ts";
import { inputsOf } from "./explain.ts";
import type { DecisionInput, SignalView, WorkloadView } from "./input.ts";
import type { DecisionPlan, Rule } from "./rules.ts";
import { forces, scoreOf, weighedOf } from "./weighed.ts";

/** Undefined: moves are to be planned. */
export function withoutMoves(
  input: DecisionInput,
  signal: SignalView,
  workloads: readonly WorkloadView[],
  leftMs: number | undefined,
  isSuperseded: boolean,
  nowMs: number,
): DecisionPlan | undefined {
  const { rails, policy } = input;
  const { nodeId } = signal;
  const inputs = inputsOf(input, signal, workloads, leftMs);
  const none = (rule: Rule, reason: string): DecisionPlan => ({
    action: "none",
    rule,
    reason,
    moves: [],
    inputs,
    guards: [],
    alternatives: [],
  });
  const hold = (
    rule: Rule,
    reason: string,
    why: string | ((name: string) => string),
    guards: GuardNote[] = [],
    alternatives: string[] = [],
  ): DecisionPlan => ({
    action: "hold",
    rule,
    reason,
    moves: workloads.map((each) =>
      create(DecisionMoveSchema, {
        workload: each.name,
        refusal: typeof why === "string" ? why : why(each.name),
        action: "stay",
        priority: each.priority,
      }),
    ),
    inputs,
    guards,
    alternatives,
  });
  if (signal.kind === "withdrawn") return none("signal-withdrawn", `what was announced for ${nodeId} is withdrawn; moves under way go on`);
  if (signal.kind === "node_lost") {
    return hold(
      "node-lost-hold",
      `${nodeId} is not heard: what runs there may go on running, so nothing is started elsewhere`,
      "its node is not heard",
      [],
      [
        "restore the newest snapshot elsewhere: only for workloads that say so (--on-node-lost restore), and only once the node is known to be gone",
      ],
    );
  }
  if (workloads.length === 0) return none("nothing-to-move", `nothing runs on ${nodeId}`);
  if (isSuperseded) return none("superseded", `another signal of ${nodeId} is answered at the same time`);
  if (leftMs !== undefined && leftMs <= 0)
    return hold("notice-expired", `${nodeId} should be gone since ${Math.round(-leftMs / 1000)} s`, "the time is over");
  if (rails.isPaused) {
    const why = rails.pausedReason === "" ? "" : `: ${rails.pausedReason}`;
    return hold(
      "moves-paused",
      `moves are paused${why}; ${signal.kind === "notice" ? `what runs on ${nodeId} is lost unless somebody moves it or resumes moves` : "a recommendation can wait"}`,
      "moves are paused",
      [note("paused", nodeId, "refused", `moves are paused${why}`)],
      ["aether guards resume, and everything is looked at again", "aether migrate NAME, by hand"],
    );
  }
  if (forces(signal)) return undefined;
  if (signal.kind === "rebalance" && policy.onRebalance === "hold") {
    return hold(
      "rebalance-policy-hold",
      "the policy waits for a notice",
      "the policy waits for a notice",
      [],
      ["move now, while there is time: decision.onRebalance: migrate"],
    );
  }
  if (!rails.isInWindow) {
    const detail = "no maintenance window is open, and nothing is forced";
    return hold(
      signal.kind === "risk" ? "risk-outside-window" : "rebalance-outside-window",
      detail,
      "outside of the maintenance windows",
      [note("window", nodeId, "refused", detail)],
      ["move now: aether migrate NAME", "a notice is answered whatever the window"],
    );
  }
  const shut = new Map(
    workloads.flatMap((each) => {
      const by = shutBy(each.windows ?? [], nowMs);
      return by === undefined ? [] : [[each.name, by] as const];
    }),
  );
  const outside = [...shut].map(([name, by]) => note("window", name, "refused", `no window of ${by} is open`));
  const unlessShut = (why: string) => (name: string) => (shut.has(name) ? outsideOf(shut.get(name)) : why);
  const free = workloads.filter((each) => !shut.has(each.name));
  if (free.length === 0) {
    return hold(
      signal.kind === "risk" ? "risk-outside-window" : "rebalance-outside-window",
      `no window of the policies of what runs on ${nodeId} is open, and nothing is forced`,
      unlessShut(""),
      outside,
      ["move now: aether migrate NAME", "a notice is answered whatever the window"],
    );
  }
  const awake = free.filter((each) => !rails.resting.has(each.name));
  if (awake.length > 0) {
    const weighed = weighedOf(input, signal, awake);
    if (weighed.length < awake.length || weighed.some(({ action }) => action === "migrate")) return undefined;
    const [first] = weighed;
    const plan = hold(
      signal.kind === "risk" ? "risk-does-not-pay" : "rebalance-does-not-pay",
      `moving what runs on ${nodeId} does not pay: ${first?.reason ?? ""}`,
      unlessShut("it does not pay to move"),
      outside,
      ["move now: aether migrate NAME", "move on every recommendation: decision.onRebalance: migrate"],
    );
    return { ...plan, ...scoreOf(weighed) };
  }
  const resting = free.map((each) => note("resting", each.name, "refused", rails.resting.get(each.name)?.reason ?? ""));
  return hold(
    signal.kind === "risk" ? "risk-resting" : "rebalance-resting",
    "everything there moved, or failed to, a short time ago",
    unlessShut("it rests"),
    [...outside, ...resting],
    ["move now: aether migrate NAME"],
  );
}

export const outsideOf = (policy: string | undefined) => `outside of the windows of ${policy}`;
