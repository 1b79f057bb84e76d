// What a move does next: a pure function of the record, the facts and the time. It promises, for any order of answers, failures, crashes
// and silences: RESUME only after the commit, one commit, RELEASE only after a healthy resume (and, in post-copy, the last page), THAW only
// where no RESUME was ever sent, and an end in done, rolled_back or needs_operator.
import { HealthState } from "@aether/contract/gen/aether/v2/common_pb";
import type { PreflightReport } from "@aether/contract/gen/aether/v2/migration_pb";
import { modeFromProto } from "./mode.ts";
import { problemOf, rootCause } from "./problem.ts";
import { rollBackStep, rollingBack } from "./roll-back.ts";
import { type CommandFact, type Facts, isEnded, type MigrationRecord, type Mode, type Problem } from "./state.ts";
import { retryPauseMs, type Step, stateOf, wait } from "./step-state.ts";
import { steps } from "./steps/index.ts";
import { compareManifests } from "./steps/verify.ts";

/** How long a connected or absent target may need to resume after the commit; then a person must look. */
export const resumeWindowMs = 120_000;
/** How long a source that is not connected is waited for before its frozen copy is left as a debt: it may be gone, that is why the move was made. */
export const absentSourceMs = 10_000;

/** How long the freeze waits for a node whose session has just ended. */
export const reconnectMs = 15_000;
/** How long a target may be away while the workload is frozen: a session that was only cut is back within a second. */
export const awayTargetMs = 2_000;
/** How long a connected source may keep its answer to FREEZE once the target has everything: the client waits. */
export const answerMs = 10_000;
/**
 * Restores mostly end sooner after the freeze has been reported, and then go from freezing to the commit: to write down a state in between would be a transaction
 * that the commit has to wait for, and nothing hangs on it.
 */
const passedOverMs = 250;
/** How long a source that vanished in the freeze is waited for, where the target holds a whole copy. */
export const lostSourceMs = 10 * 60_000;

/** The one next thing to do. Called after every change of what is known, and at the time that a `wait` names. */
export function next(record: MigrationRecord, facts: Facts, nowMs: number): Step {
  if (isEnded(record.state)) return { kind: "ended" };
  if (record.state === "rolling_back") return rollingBack(record, facts, nowMs);
  if (record.state === "committed") return committed(record, facts, nowMs);
  if (record.state === "resumed") return resumed(record, facts, nowMs);
  return beforeCommit(record, facts, nowMs);
}

function beforeCommit(record: MigrationRecord, facts: Facts, nowMs: number): Step {
  if (record.isCancelRequested) return rollBackStep(facts, { code: "CANCELLED", message: "cancelled by a person" });
  if (!facts.isPlaced) {
    return rollBackStep(facts, {
      code: "STALE_EPOCH",
      message: `epoch ${record.epochBefore} on ${record.sourceNodeId} is not the placement any more`,
    });
  }
  const isFrozen = record.state === "freezing" || record.state === "restoring" || record.state === "verifying";
  const dueAtMs = record.deadlineAtMs ?? Number.POSITIVE_INFINITY;
  if (!isFrozen && nowMs >= dueAtMs) {
    const details = { state: record.state };
    return rollBackStep(facts, {
      code: "DEADLINE_EXCEEDED",
      message: `the deadline of the move passed while it was ${record.state}`,
      details,
    });
  }
  if (record.state === "planned" && !facts.isItsTurn) return wait(dueAtMs, "its turn: other moves leave the same node");
  if (record.state === "planned") return { kind: "move", to: "preparing", send: ["preflight"], why: "begun" };
  const lost = isFrozen ? sourceLost(record, facts, nowMs) : undefined;
  if (lost) return lost;
  const failed = firstFailure(record, facts, nowMs);
  if (failed) return rollBackStep(facts, failed);
  if (record.state === "preparing") return preparing(record, facts, dueAtMs);
  if (record.state === "copying") return copying(facts, nowMs, dueAtMs);
  return frozen(record, facts, nowMs);
}

function preparing(record: MigrationRecord, facts: Facts, dueAtMs: number): Step {
  const preflight = stateOf(facts, "preflight");
  if (preflight.is === "absent") return { kind: "move", to: "preparing", send: ["preflight"], why: "begun" };
  if (preflight.is !== "ok") return wait(Math.min(dueAtMs, preflight.dueAtMs), "the source's preflight");
  const prepare = stateOf(facts, "prepare");
  if (prepare.is === "ok") return { kind: "move", to: "copying", send: ["copy"], why: "the target is ready" };
  if (prepare.is !== "absent") return wait(Math.min(dueAtMs, prepare.dueAtMs), "the target's preparation");
  const report = reportOf(preflight.command);
  const blocker = report?.blockers[0];
  if (blocker) {
    return rollBackStep(facts, {
      code: "PREFLIGHT_REFUSED",
      message: report.blockers.map((each) => `${each.code}: ${each.message}`).join("; "),
      hint: blocker.mend,
      details: Object.fromEntries(report.blockers.map((each) => [each.code, [each.subject, each.mend].filter(Boolean).join(": ")])),
    });
  }
  const mode = chosenMode(report, record.requestedMode);
  if (mode === undefined) return rollBackStep(facts, { code: "INTERNAL", message: "the source's preflight chose no mode" });
  return { kind: "move", to: "preparing", send: ["prepare"], mode, why: report?.modeReason || "preflight passed" };
}

function copying(facts: Facts, nowMs: number, dueAtMs: number): Step {
  const copy = stateOf(facts, "copy");
  if (copy.is === "absent") return { kind: "move", to: "copying", send: ["copy"], why: "the target is ready" };
  if (copy.is !== "ok") return wait(Math.min(dueAtMs, copy.dueAtMs), "the copy of files");
  // The last look before the client has to wait: whoever cannot take it now shall not be given it.
  if (facts.target.isInterrupted) {
    return rollBackStep(facts, { code: "NO_TARGET", message: "the target's own interruption was announced during the copy" });
  }
  const away = (["target", "source"] as const).find((side) => !facts[side].isConnected);
  if (away) {
    const untilMs = (copy.command.finishedAtMs ?? copy.command.intendedAtMs) + reconnectMs;
    if (nowMs < untilMs) return wait(Math.min(dueAtMs, untilMs), `the ${away} to be connected`);
    return rollBackStep(facts, { code: "NODE_NOT_CONNECTED", message: `the ${away} was not connected when the freeze was to begin` });
  }
  return { kind: "move", to: "freezing", send: ["restore", "freeze"], why: "files are copied" };
}

function frozen(record: MigrationRecord, facts: Facts, nowMs: number): Step {
  const freeze = dueSooner(facts, stateOf(facts, "freeze"));
  const restore = stateOf(facts, "restore");
  if (freeze.is === "absent" || restore.is === "absent") {
    const missing = ([freeze, restore] as const).filter((each) => each.is === "absent").map((each) => each.step);
    return { kind: "move", to: record.state, send: missing, why: "files are copied" };
  }
  // A commit to a target that is away would be irrevocable and unheard, and each second of waiting is the client's.
  if (!facts.target.isConnected) {
    const untilMs = facts.target.awaySinceMs + awayTargetMs;
    if (nowMs < untilMs) return wait(untilMs, "the target to be connected");
    const message = `${record.targetNodeId} went away while ${record.workload} was frozen`;
    return rollBackStep(facts, { code: "NODE_NOT_CONNECTED", message });
  }
  if (freeze.is === "ok" && restore.is === "ok") {
    const left = freeze.command.result?.facts;
    const reached = restore.command.result?.facts;
    const differences = compareManifests(
      left?.case === "freeze" ? left.value : undefined,
      reached?.case === "restore" ? reached.value : undefined,
    );
    const unequal = differences.filter((each) => !each.isEqual);
    if (unequal.length === 0) return { kind: "commit", send: ["resume"], why: "what arrived is what left" };
    return rollBackStep(facts, {
      code: "VERIFY_MISMATCH",
      message: `what arrived is not what left: ${unequal.map((each) => each.what).join(", ")}`,
      details: Object.fromEntries(unequal.map((each) => [each.what, `${each.source.slice(0, 400)} | ${each.target.slice(0, 400)}`])),
    });
  }
  const pending = [freeze, restore].filter((each) => each.is === "pending");
  const dueAtMs = Math.min(...pending.map((each) => each.dueAtMs));
  if (freeze.is !== "ok") return wait(dueAtMs, "the freeze");
  if (record.state !== "freezing") return wait(dueAtMs, "the restore");
  const restoringAtMs = (freeze.command.finishedAtMs ?? freeze.command.intendedAtMs) + passedOverMs;
  if (nowMs < restoringAtMs) return wait(Math.min(dueAtMs, restoringAtMs), "the restore");
  return { kind: "move", to: "restoring", send: [], why: "all has left the source" };
}

/**
 * The source is away, its FREEZE has not answered, and the target holds a whole copy: it may be the only one left, so it is not destroyed.
 * It may not resume either: a source whose freeze failed at the very end runs again. Only the source's answer can tell, so it is waited for.
 */
function sourceLost(record: MigrationRecord, facts: Facts, nowMs: number): Step | undefined {
  const freeze = stateOf(facts, "freeze");
  if (freeze.is !== "pending" || facts.source.isConnected || stateOf(facts, "restore").is !== "ok") return undefined;
  const dueAtMs = freeze.dueAtMs - steps.freeze.deadlineMs + lostSourceMs;
  if (nowMs < dueAtMs) return wait(dueAtMs, "the source to come back and say whether it froze");
  return needsOperator({
    code: "SOURCE_LOST",
    message:
      `${record.sourceNodeId} went away while ${record.workload} was frozen there, and has not come back for ${lostSourceMs / 60_000} min. ` +
      `A whole copy is kept stopped on ${record.targetNodeId}; whether ${record.sourceNodeId} still runs its own is not known.`,
  });
}

/** A restore needs all that the freeze sends, so a freeze that has not answered after it is nearly done, or its answer is lost. */
function dueSooner(facts: Facts, freeze: ReturnType<typeof stateOf>): ReturnType<typeof stateOf> {
  const restore = stateOf(facts, "restore");
  if (freeze.step !== "freeze" || freeze.is !== "pending" || restore.is !== "ok" || !facts.source.isConnected) return freeze;
  const restoredAtMs = restore.command.finishedAtMs ?? restore.command.intendedAtMs;
  return { ...freeze, dueAtMs: Math.min(freeze.dueAtMs, restoredAtMs + answerMs) };
}

/** The first step before the commit that went wrong, or did not answer in its time. */
/** The side that hears of it first has often heard no more than the end of the link: a reason of the other one's own goes before. */
function firstFailure(record: MigrationRecord, facts: Facts, nowMs: number): Problem | undefined {
  for (const name of ["preflight", "prepare", "copy", "freeze", "restore"] as const) {
    const step = dueSooner(facts, stateOf(facts, name));
    const node = record[`${steps[name].side}NodeId`];
    if (step.is === "pending" && nowMs >= step.dueAtMs) {
      const isThere = facts[steps[name].side].isConnected;
      const message = `${name} on ${node} did not answer within ${step.dueAtMs - step.sinceMs} ms${isThere ? "" : "; the node is not connected"}`;
      return { code: isThere ? "DEADLINE_EXCEEDED" : "NODE_NOT_CONNECTED", message };
    }
    if (step.is === "bad") return rootCause(record, facts) ?? problemOf(step.command, `${name} on ${node}`);
  }
  return undefined;
}

function committed(record: MigrationRecord, facts: Facts, nowMs: number): Step {
  const resume = stateOf(facts, "resume");
  if (resume.is === "ok") {
    const result = resume.command.result?.facts;
    if (result?.case === "resume" && result.value.health === HealthState.FAILING) {
      return needsOperator({
        code: "HEALTH_FAILED",
        message:
          `${record.workload} runs on ${record.targetNodeId} but its health check fails: ${result.value.healthDetail || "no detail"}. ` +
          `Its frozen copy of before the move is kept on ${record.sourceNodeId} and does not run.`,
      });
    }
    const send = mayLackPages(record) ? ("drain_pages" as const) : ("release" as const);
    return { kind: "move", to: "resumed", send: [send], why: "the target runs" };
  }
  const dueAtMs = (record.committedAtMs ?? record.stateAtMs) + resumeWindowMs;
  if (nowMs >= dueAtMs) {
    const last = resume.is === "bad" ? ` Its last answer: ${problemOf(resume.command, "resume").message}.` : "";
    return needsOperator({
      code: "RESUME_UNCONFIRMED",
      message:
        `${record.targetNodeId} did not confirm that ${record.workload} runs within ${resumeWindowMs / 1000} s of the commit` +
        `${facts.target.isConnected ? "" : " and is not connected"}.${last} ` +
        `Its frozen copy is kept on ${record.sourceNodeId} and does not run.`,
    });
  }
  if (resume.is === "absent") return { kind: "move", to: "committed", send: ["resume"], why: "committed" };
  if (resume.is === "pending") return wait(dueAtMs, "the target to resume");
  const againAtMs = resume.finishedAtMs + retryPauseMs(facts, "resume");
  if (nowMs < againAtMs) return wait(Math.min(dueAtMs, againAtMs), "the next attempt to resume");
  return { kind: "move", to: "committed", send: ["resume"], why: "the resume is tried again" };
}

/** Until it is drained, the workload waits for pages: of the source in post-copy, of the target's own copies in pre-copy. */
const mayLackPages = (record: MigrationRecord): boolean => record.mode === "post_copy" || record.mode === "pre_copy";

function resumed(record: MigrationRecord, facts: Facts, nowMs: number): Step {
  if (mayLackPages(record)) {
    const drain = stateOf(facts, "drain_pages");
    if (drain.is !== "ok") return draining(record, facts, nowMs);
  }
  const release = stateOf(facts, "release");
  if (release.is === "absent") return { kind: "move", to: "resumed", send: ["release"], why: "the target has everything" };
  if (release.is === "ok") return { kind: "move", to: "done", send: [], why: "the source's copy is released" };
  const first = facts.commands.find((command) => command.step === "release");
  const sinceMs = first?.intendedAtMs ?? record.stateAtMs;
  const dueAtMs = sinceMs + (facts.source.isConnected ? steps.release.deadlineMs : absentSourceMs);
  if (nowMs >= dueAtMs) {
    return {
      kind: "move",
      to: "done",
      send: [],
      debts: ["release"],
      why: "the source is away; its frozen copy is released when it is back",
    };
  }
  if (release.is === "pending") return wait(dueAtMs, "the source to release its copy");
  const againAtMs = release.finishedAtMs + retryPauseMs(facts, "release");
  if (nowMs < againAtMs) return wait(Math.min(dueAtMs, againAtMs), "the next attempt to release");
  return { kind: "move", to: "resumed", send: ["release"], why: "the release is tried again" };
}

function draining(record: MigrationRecord, facts: Facts, nowMs: number): Step {
  const drain = stateOf(facts, "drain_pages");
  if (drain.is === "absent") return { kind: "move", to: "resumed", send: ["drain_pages"], why: "not every page is in place yet" };
  const first = facts.commands.find((command) => command.step === "drain_pages");
  const dueAtMs = (first?.intendedAtMs ?? record.stateAtMs) + steps.drain_pages.deadlineMs;
  const isLost = drain.is === "bad" && drain.command.outcome === "failed";
  if (isLost || nowMs >= dueAtMs) {
    const said = drain.is === "bad" ? problemOf(drain.command, "draining").message : `no answer within ${steps.drain_pages.deadlineMs} ms`;
    return needsOperator({
      code: "PAGES_LOST",
      message:
        `${record.workload} runs on ${record.targetNodeId} without all of its memory: ${said}. ` +
        `Its frozen copy is kept on ${record.sourceNodeId} and does not run.`,
    });
  }
  if (drain.is !== "bad") return wait(dueAtMs, "the last pages");
  const againAtMs = drain.finishedAtMs + retryPauseMs(facts, "drain_pages");
  if (nowMs < againAtMs) return wait(Math.min(dueAtMs, againAtMs), "the next attempt to drain");
  return { kind: "move", to: "resumed", send: ["drain_pages"], why: "draining is tried again" };
}

const needsOperator = (error: Problem): Step => ({ kind: "move", to: "needs_operator", send: [], error, why: error.message });

function reportOf(preflight: CommandFact): PreflightReport | undefined {
  return preflight.result?.facts.case === "preflight" ? preflight.result.facts.value : undefined;
}

function chosenMode(report: PreflightReport | undefined, requested: Mode): Exclude<Mode, "auto"> | undefined {
  const chosen = report === undefined ? undefined : modeFromProto(report.chosenMode);
  if (chosen !== undefined && chosen !== "auto") return chosen;
  return requested === "auto" ? undefined : requested;
}
