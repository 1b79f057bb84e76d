// A decision in full.
import type { Decision, DecisionMove, TargetScore } from "@aether/contract/gen/aether/v2/signal_pb";
import { renderFacts } from "./table.ts";
import { duration, instant } from "./units.ts";

export function describeDecision(decision: Decision): string {
  const facts = renderFacts([
    ["decision", decision.id],
    ["at", instant(decision.at)],
    ["node", decision.nodeId],
    ["action", decision.action],
    ["rule", `${decision.rule}${decision.ruleVersion === "" ? "" : ` (${decision.ruleVersion})`}`],
    ["why", decision.reason],
    ["signal", decision.signalId],
    ["wave", decision.waveId],
    ["after", `${duration(decision.sinceObservedMs || decision.latencyMs)} from the signal`],
    ["score", decision.threshold === 0 ? "" : `${decision.score.toPrecision(3)}, acts above ${decision.threshold.toPrecision(3)}`],
    ["trace", decision.traceId],
  ]);
  const lines = [facts];
  if (decision.inputs.length > 0) lines.push("", "Decided from:", ...decision.inputs.map(({ name, value }) => `  ${name}: ${value}`));
  if (decision.moves.length > 0) lines.push("", "Workloads:", ...decision.moves.flatMap(describeMove));
  if (decision.guards.length > 0)
    lines.push(
      "",
      "Guard rails:",
      ...decision.guards.map(({ guard, subject, effect, detail }) => `  ${guard} ${effect} ${subject}: ${detail}`),
    );
  if (decision.alternatives.length > 0)
    lines.push("", "What else could have been done:", ...decision.alternatives.map((each) => `  ${each}`));
  return lines.join("\n");
}

function describeMove(move: DecisionMove): string[] {
  const what =
    move.action === "snapshot"
      ? `kept in snapshot ${move.snapshotId || "-"} first: ${move.refusal}`
      : move.refusal !== ""
        ? `stays: ${move.refusal}`
        : `to ${move.targetNodeId}${move.migrationId === "" ? "" : ` by ${move.migrationId}`}${move.startsAfterMs > 0 ? `, begins after ${duration(move.startsAfterMs)}` : ""}${move.safeAfterMs > 0 ? `, safe after ${duration(move.safeAfterMs)}` : ""}`;
  return [`  ${move.workload}: ${what}`, ...move.candidates.map((each) => `    ${describeCandidate(each)}`)];
}

/** "n2: 0.812 (3.1 GiB stay free (+0.310), …)", or why it cannot be a target. */
export const describeCandidate = ({ nodeId, isEligible, score, reasons }: TargetScore): string =>
  `${nodeId}: ${isEligible ? score : "no"} (${reasons.join(", ")})`;
