// Before the commit every failure ends here: first the target's half is destroyed, then the source thaws.
// The client waits while the source is frozen, so the target gets a short time to confirm. Where it does not, the source thaws all the
// same: no RESUME was ever sent for this epoch and, with the move's fence raised, none ever will be, so the target's copy can never run.
// What could not be confirmed stays on record as a debt and is paid when the node is back.
import { isUnexplained, rootCause } from "./problem.ts";
import type { Debt, Facts, MigrationRecord, Problem, StepName } from "./state.ts";
import { retryPauseMs, type Step, stateOf, wait } from "./step-state.ts";
import { steps } from "./steps/index.ts";

/** How long a connected target may take to confirm before the source thaws without it. */
export const abortGraceMs = 3_000;

/** Leaves the way forward. Nothing to undo: ended at once. */
export function rollBackStep(facts: Facts, error: Problem): Step {
  const isPrepared = isIntended(facts, "prepare");
  if (!isPrepared) return { kind: "move", to: "rolled_back", send: [], error, why: error.message };
  return { kind: "move", to: "rolling_back", send: ["abort"], error, why: error.message };
}

/** What a move does while it rolls back. */
export function rollingBack(record: MigrationRecord, facts: Facts, nowMs: number): Step {
  const abort = stateOf(facts, "abort");
  const thaw = stateOf(facts, "thaw");
  const mustThaw = isIntended(facts, "copy");
  const graceOverMs = record.stateAtMs + abortGraceMs;
  const isAborted = abort.is === "ok" || !isIntended(facts, "prepare");
  const isAbortGivenUp = !facts.target.isConnected || nowMs >= record.stateAtMs + steps.abort.deadlineMs;

  if (mustThaw && thaw.is === "absent") {
    if (isAborted || !facts.target.isConnected || nowMs >= graceOverMs) {
      return {
        kind: "move",
        to: "rolling_back",
        send: ["thaw"],
        why: isAborted ? "the target's half is gone" : "the target can never resume this epoch",
      };
    }
  }
  const thawStep = mustThaw && thaw.is !== "absent" && thaw.is !== "ok" ? thawAgain(record, facts, nowMs) : undefined;
  if (thawStep && thawStep.kind !== "wait") return thawStep;
  const abortStep = isAborted || isAbortGivenUp ? undefined : abortAgain(record, facts, nowMs);
  if (abortStep && abortStep.kind !== "wait") return abortStep;

  const isThawed = !mustThaw || thaw.is === "ok";
  if (isThawed && (isAborted || isAbortGivenUp)) {
    // Heard after the first failure, and its reason.
    const reason = record.error !== undefined && isUnexplained(record.error) ? rootCause(record, facts) : undefined;
    return ended(
      isAborted ? [] : ["abort"],
      isAborted ? "as before the move" : "as before the move; what the target holds is destroyed when it is back",
      reason,
    );
  }
  const waits = [thawStep, abortStep].map((step) => (step?.kind === "wait" ? step.untilMs : Number.POSITIVE_INFINITY));
  const untilMs = Math.min(...waits, mustThaw && thaw.is === "absent" ? graceOverMs : Number.POSITIVE_INFINITY);
  return wait(untilMs, isThawed ? "the target to confirm" : "the source to thaw");
}

function thawAgain(record: MigrationRecord, facts: Facts, nowMs: number): Step {
  const thaw = stateOf(facts, "thaw");
  const isFrozen = isIntended(facts, "freeze");
  const first = facts.commands.find((command) => command.step === "thaw");
  const dueAtMs = (first?.intendedAtMs ?? record.stateAtMs) + steps.thaw.deadlineMs;
  const debts: Debt[] = stateOf(facts, "abort").is === "ok" ? ["thaw"] : ["abort", "thaw"];
  // Never frozen: it runs, whether its agent answers or not.
  if (!isFrozen && (!facts.source.isConnected || nowMs >= dueAtMs))
    return ended(debts, "the source was never frozen; it is tidied when it is back");
  if (nowMs >= dueAtMs) {
    const message =
      `${record.workload} may be frozen on ${record.sourceNodeId}, which did not confirm the thaw within ${steps.thaw.deadlineMs / 1000} s` +
      `${facts.source.isConnected ? "" : " and is not connected"}. It does not run on ${record.targetNodeId}. It is thawed when ${record.sourceNodeId} is back.`;
    return { kind: "move", to: "needs_operator", send: [], error: { code: "THAW_UNCONFIRMED", message }, debts, why: message };
  }
  if (thaw.is !== "bad") return wait(dueAtMs, "the source to thaw");
  const againAtMs = thaw.finishedAtMs + retryPauseMs(facts, "thaw");
  if (nowMs < againAtMs) return wait(Math.min(dueAtMs, againAtMs), "the next attempt to thaw");
  return { kind: "move", to: "rolling_back", send: ["thaw"], why: "the thaw is tried again" };
}

function abortAgain(record: MigrationRecord, facts: Facts, nowMs: number): Step {
  const abort = stateOf(facts, "abort");
  const dueAtMs = record.stateAtMs + steps.abort.deadlineMs;
  if (abort.is === "absent") return { kind: "move", to: "rolling_back", send: ["abort"], why: "the target's half is destroyed" };
  if (abort.is !== "bad" || nowMs >= dueAtMs) return wait(dueAtMs, "the target to confirm");
  const againAtMs = abort.finishedAtMs + retryPauseMs(facts, "abort");
  if (nowMs < againAtMs) return wait(Math.min(dueAtMs, againAtMs), "the next attempt to abort");
  return { kind: "move", to: "rolling_back", send: ["abort"], why: "the abort is tried again" };
}

function ended(debts: readonly Debt[], why: string, error?: Problem): Step {
  return { kind: "move", to: "rolled_back", send: [], ...(debts.length === 0 ? {} : { debts }), ...(error && { error }), why };
}

const isIntended = (facts: Facts, step: StepName): boolean => facts.commands.some((command) => command.step === step);
