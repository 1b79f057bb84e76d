// Would this workload survive a reclaim of its node, now? A pure function of facts: a verdict with every reason and how to mend it, and every
// input with where it is from. What is missing is assumed in the open: it widens the range and turns green to amber, never the other way.
import type { Finding } from "@aether/contract/gen/aether/v2/migration_pb";
import type { TargetScore } from "@aether/contract/gen/aether/v2/signal_pb";
import { type Estimate, estimate, type MoveInputs, type Pace } from "./estimate.ts";
import { inputsOf } from "./inputs.ts";
import type { Bandwidth, Spread } from "./measure.ts";
import { agoOf, mebibytes, seconds } from "./words.ts";

export type Verdict = "green" | "amber" | "red";

/** A number that may be missing, with its age and source. */
export interface Known {
  readonly value: number;
  readonly basis: "measured" | "assumed" | "missing";
  readonly detail: string;
}

export interface CertificateFacts {
  readonly workload: string;
  readonly nodeId: string;
  /** running | migrating | lost | needs_operator: others have no certificate. */
  readonly state: string;
  readonly stateReason: string;
  readonly isSourceConnected: boolean;
  /** Why the source cannot checkpoint; undefined when it can. */
  readonly sourceProblem: string | undefined;
  readonly isPaused: boolean;
  readonly memory: Known;
  readonly files: Known;
  readonly dirtyRate: Known;
  readonly bandwidth: Bandwidth;
  /** What a small process took, as each node tried it last; 0: it did not. */
  readonly canary: { readonly dumpMs: number; readonly restoreMs: number };
  /** How many features and state components its target's processor must have. */
  readonly processor: Known & { readonly arch: string };
  readonly mode: MoveInputs["mode"];
  readonly modeReason: string;
  readonly freezeBytes: number | undefined;
  readonly preflight: { readonly blockers: readonly Finding[]; readonly warnings: readonly Finding[]; readonly ageMs: number } | undefined;
  /** The best two, as the planner would take them; where there is none, some of those that cannot take it. */
  readonly targets: readonly TargetScore[];
  /** Of the best target, less what leaves this node before it; undefined: there is no target. */
  readonly room: { readonly freeBytes: number; readonly ofBytes: number } | undefined;
  /** A reclaim takes all workloads of a node: when this one's turn is, and what it waits for until its own move has what it needs. */
  readonly turn: { readonly position: number; readonly count: number; readonly before: readonly string[]; readonly waitMs: number };
  /** The best target is of the same pool as the source: a wave may take both. */
  readonly isSamePool: boolean;
  readonly objective: { readonly freezeMs: number; readonly timeToSafeMs: number };
  readonly windowMs: number;
  readonly pace: Pace;
  readonly spread: { readonly freeze: Spread; readonly timeToSafe: Spread };
}

export interface Range {
  readonly expected: number;
  readonly low: number;
  readonly high: number;
}

export interface Reason {
  readonly code: string;
  readonly message: string;
  readonly mend: string;
  readonly subject: string;
}

export interface Input {
  readonly name: string;
  readonly value: string;
  readonly basis: "measured" | "assumed" | "missing";
  readonly detail: string;
}

export interface Certified {
  readonly verdict: Verdict;
  readonly summary: string;
  readonly targetNodeId: string;
  readonly targetReason: string;
  readonly freeze: Range;
  /** With its turn. */
  readonly timeToSafe: Range;
  /** Of its move alone. */
  readonly ownTimeToSafeMs: number;
  readonly raw: Pick<Estimate, "freezeMs" | "timeToSafeMs">;
  /** Of the time to safe, what the link is busy with it. */
  readonly transferMs: number;
  readonly blockers: readonly Reason[];
  readonly warnings: readonly Reason[];
  readonly inputs: readonly Input[];
}

/** A preflight that is older than this says little about now. */
export const preflightOldMs = 600_000;
/** Below this much memory, what it writes while it is copied does not matter. */
const smallBytes = 96 << 20;

export function certify(facts: CertificateFacts): Certified {
  const inputs: MoveInputs = {
    memoryBytes: facts.memory.value,
    fileBytes: facts.files.value,
    dirtyBytesPerSecond: facts.dirtyRate.value,
    bytesPerSecond: facts.bandwidth.bytesPerSecond,
    mode: facts.mode,
    canaryMs: facts.canary.dumpMs + facts.canary.restoreMs,
    ...(facts.freezeBytes === undefined ? {} : { freezeBytes: facts.freezeBytes }),
  };
  const raw = estimate(inputs, facts.pace);
  const doubt = doubtOf(facts);
  const freeze = ranged(raw.freezeMs, facts.spread.freeze, doubt);
  const own = ranged(raw.timeToSafeMs, facts.spread.timeToSafe, doubt);
  const { waitMs } = facts.turn;
  const timeToSafe = { expected: own.expected + waitMs, low: own.low + waitMs, high: own.high + waitMs };
  const blockers = [...standing(facts), ...measure(facts, freeze, timeToSafe, "expected")];
  const warnings = [...doubts(facts), ...(blockers.length > 0 ? [] : measure(facts, freeze, timeToSafe, "high"))];
  const verdict = blockers.length > 0 ? "red" : warnings.length > 0 ? "amber" : "green";
  const best = facts.targets.find((target) => target.isEligible);
  return {
    verdict,
    summary: summaryOf(facts, verdict, blockers, warnings, freeze, timeToSafe, best?.nodeId),
    targetNodeId: best?.nodeId ?? "",
    targetReason: best === undefined ? "" : best.reasons.join(", "),
    freeze,
    timeToSafe,
    raw,
    ownTimeToSafeMs: own.expected,
    transferMs: Math.min(own.expected, (raw.bytes / facts.bandwidth.bytesPerSecond) * 1000),
    blockers,
    warnings,
    inputs: inputsOf(facts, best),
  };
}

/** Each number that had to be assumed doubles what the range allows upwards. */
function doubtOf(facts: CertificateFacts): number {
  const isPages = facts.mode === "pre_copy" && facts.memory.value > smallBytes;
  const doubtful = [
    facts.memory.basis !== "measured",
    facts.files.basis !== "measured",
    isPages && facts.dirtyRate.basis !== "measured",
    facts.bandwidth.basis !== "measured" && facts.memory.value + facts.files.value > smallBytes,
  ];
  return 2 ** doubtful.filter(Boolean).length;
}

function ranged(rawMs: number, spread: Spread, doubt: number): Range {
  return { expected: rawMs * spread.median, low: (rawMs * spread.low) / doubt, high: rawMs * spread.high * doubt };
}

const reason = (code: string, message: string, mend: string, subject = ""): Reason => ({ code, message, mend, subject });

/** What stands in the way whatever the numbers are. */
function standing(facts: CertificateFacts): Reason[] {
  const found: Reason[] = [];
  const { workload, nodeId } = facts;
  if (facts.state === "needs_operator") {
    found.push(reason("NEEDS_OPERATOR", facts.stateReason, "Settle it: aether migrations settle MIGRATION --keep source|target", workload));
  }
  if (!facts.isSourceConnected)
    found.push(reason("NODE_NOT_CONNECTED", `${nodeId} is not heard: a notice of it may not be either`, `Look at its agent.`, nodeId));
  if (facts.sourceProblem !== undefined)
    found.push(reason("SOURCE_CANNOT_CHECKPOINT", facts.sourceProblem, `aether inspect ${nodeId} says how to mend it.`, nodeId));
  if (facts.isPaused)
    found.push(reason("MOVES_PAUSED", "moves are paused: nothing would move by itself, not even on a notice", "aether guards resume"));
  for (const blocker of facts.preflight?.blockers ?? []) found.push(reason(blocker.code, blocker.message, blocker.mend, blocker.subject));
  if (!facts.targets.some((target) => target.isEligible)) {
    const others = facts.targets.filter((target) => target.nodeId !== nodeId);
    const why =
      others.length === 0
        ? "there is no other node"
        : others
            .slice(0, 5)
            .map(({ nodeId: id, reasons }) => `${id}: ${reasons.join(", ")}`)
            .join("; ");
    found.push(reason("NO_TARGET", `no node can take it: ${why}`, "Add a node, make room on one, or mend what is named.", workload));
  }
  return found;
}

/** The numbers against the window and the workload's own objectives; `of`: the expected value (red), or the far end of the range (amber). */
function measure(facts: CertificateFacts, freeze: Range, timeToSafe: Range, of: "expected" | "high"): Reason[] {
  const { objective, windowMs, workload } = facts;
  const may = of === "high" ? "may take" : "would take";
  const found: Reason[] = [];
  if (timeToSafe[of] > windowMs) {
    found.push(
      reason(
        "WINDOW_TOO_SHORT",
        `the move ${may} ${seconds(timeToSafe[of])}${turnOf(facts)}, and ${seconds(windowMs)} of the notice can be used`,
        "Give it less memory or fewer files, a faster link, or let it move on a rebalance recommendation already.",
        workload,
      ),
    );
  }
  if (objective.freezeMs > 0 && freeze[of] > objective.freezeMs) {
    const mend =
      facts.mode === "stop_and_copy"
        ? "A mode that sends memory outside of the freeze would help; or raise --max-freeze."
        : "Raise --max-freeze, or let it write less.";
    found.push(
      reason(
        "FREEZE_OVER_OBJECTIVE",
        `the freeze ${may} ${seconds(freeze[of])}; its objective is ${seconds(objective.freezeMs)}`,
        mend,
        workload,
      ),
    );
  }
  if (objective.timeToSafeMs > 0 && timeToSafe[of] > objective.timeToSafeMs) {
    found.push(
      reason(
        "TIME_TO_SAFE_OVER_OBJECTIVE",
        `it ${may} ${seconds(timeToSafe[of])} to be safe; its objective is ${seconds(objective.timeToSafeMs)}`,
        "Raise --max-time-to-safe, or give it less to carry.",
        workload,
      ),
    );
  }
  return found;
}

/** What is not known well enough for green. */
function doubts(facts: CertificateFacts): Reason[] {
  const found: Reason[] = [];
  const { workload, nodeId, preflight } = facts;
  if (preflight === undefined)
    found.push(
      reason("PREFLIGHT_MISSING", "its node has not said yet whether it can be checkpointed", "Wait for its first report.", workload),
    );
  else if (preflight.ageMs > preflightOldMs)
    found.push(
      reason(
        "PREFLIGHT_OLD",
        `the last preflight is ${Math.round(preflight.ageMs / 60_000)} min old`,
        `Look at the agent of ${nodeId}.`,
        nodeId,
      ),
    );
  for (const warning of preflight?.warnings ?? [])
    if (warning.mend !== "") found.push(reason(warning.code, warning.message, warning.mend, warning.subject));
  if (facts.memory.basis !== "measured")
    found.push(
      reason("MEMORY_UNKNOWN", `its memory is ${facts.memory.basis}: ${facts.memory.detail}`, "Wait for its first report.", workload),
    );
  if (facts.mode === "pre_copy" && facts.memory.value > smallBytes && facts.dirtyRate.basis !== "measured")
    found.push(
      reason(
        "DIRTY_RATE_UNKNOWN",
        `how fast it writes is ${facts.dirtyRate.basis}: ${facts.dirtyRate.detail}`,
        `aether inspect ${nodeId} says whether writes can be tracked there.`,
        workload,
      ),
    );
  if (facts.mode === "pre_copy" && facts.dirtyRate.value > 0.8 * facts.bandwidth.bytesPerSecond)
    found.push(
      reason(
        "WRITES_TOO_FAST",
        `it writes ${mebibytes(facts.dirtyRate.value)}/s and the link carries ${mebibytes(facts.bandwidth.bytesPerSecond)}/s: copying ahead hardly gets anywhere`,
        "A faster link, fewer writes, or the snapshot that is made first.",
        workload,
      ),
    );
  if (facts.spread.timeToSafe.count === 0)
    found.push(
      reason(
        "NOT_CALIBRATED",
        "no move has shown yet how good these numbers are",
        `Rehearse it: aether drill start --kind notice --node ${nodeId}`,
        workload,
      ),
    );
  if (facts.bandwidth.basis !== "measured" && facts.memory.value + facts.files.value > smallBytes)
    found.push(
      reason("BANDWIDTH_UNKNOWN", facts.bandwidth.detail, `A drill measures it: aether drill start --kind notice --node ${nodeId}`, nodeId),
    );
  if (facts.bandwidth.failedAgoMs !== undefined)
    found.push(
      reason(
        "TARGET_NOT_REACHED",
        `a short transfer from ${nodeId} to ${facts.targets[0]?.nodeId ?? "its target"} did not get through, ${agoOf(facts.bandwidth.failedAgoMs)}`,
        "Look at what is between the two agents' link ports: a security group, a firewall, a route. It is tried again every two minutes.",
        facts.targets[0]?.nodeId ?? nodeId,
      ),
    );
  const [best] = facts.targets;
  if (best?.isEligible === true && best.score < 0)
    found.push(
      reason(
        "LAST_RESORT",
        `only a last resort can take it: ${best.nodeId}, ${best.reasons.filter((each) => each.includes("(-")).join(", ")}`,
        "Add a node, or mend what is named.",
        best.nodeId,
      ),
    );
  if (facts.isSamePool) {
    found.push(
      reason(
        "SAME_POOL",
        "its target is of the same pool (instance type and zone): a wave may take both",
        "Add a node of another type or zone.",
        workload,
      ),
    );
  }
  return found;
}

const turnOf = ({ turn }: CertificateFacts): string =>
  turn.waitMs > 0
    ? `, ${seconds(turn.waitMs)} of it after ${turn.before.slice(0, 3).join(", ")}${turn.before.length > 3 ? ", …" : ""}`
    : "";

function summaryOf(
  facts: CertificateFacts,
  verdict: Verdict,
  blockers: readonly Reason[],
  warnings: readonly Reason[],
  freeze: Range,
  timeToSafe: Range,
  target: string | undefined,
): string {
  const [first, ...rest] = verdict === "red" ? blockers : warnings;
  const more = rest.length === 0 ? "" : ` (and ${rest.length} more)`;
  const numbers = `safe on ${target} in ${seconds(timeToSafe.expected)}, frozen for ${seconds(freeze.expected)}`;
  if (verdict === "red") return `${facts.workload} would not survive: ${first?.message}${more}`;
  if (verdict === "amber") return `${facts.workload} should be ${numbers}, but ${first?.message}${more}`;
  return `${facts.workload} would be ${numbers}`;
}
