// What signals mean for the workloads of their nodes: a pure function with named rules, over one batch of signals, because a wave comes as many at
// once and must be planned as one. It also says what was not moved and why, what else could have been done, which guard rails bit, and which targets
// were looked at: a decision is kept for ever and must explain itself without the rest of the database.
import type { GuardNote } from "@aether/contract/gen/aether/v2/guard_pb";
import type { WorkloadNeeds } from "@aether/contract/gen/aether/v2/preflight_pb";
import { type DecisionMove, DecisionMoveSchema } from "@aether/contract/gen/aether/v2/signal_pb";
import type { MoveDecision } from "@aether/risk";
import { create } from "@bufbuild/protobuf";
import type { SignalKindText, WorkloadStateText } from "../db/schema.ts";
import type { Rest } from "../guard/rails.ts";
import type { NodeView, ScoreContext } from "../migration/plan.ts";
import type { Mode } from "../migration/state.ts";
import { type MoveTimes, note, planWave, type WaveLimits, type WaveMove, type WaveNeed } from "../migration/wave.ts";
import { type Effective, shutBy } from "../policy/resolve.ts";

/** Of the rules below: grows when one of them changes what it decides. */
export const ruleVersion = "evacuation/4";

export interface DecisionPolicy {
  /** What a rebalance recommendation leads to: moves, moves where they pay, or nothing. A notice always leads to moves. */
  readonly onRebalance: "weigh" | "migrate" | "hold";
}

export interface SignalView {
  readonly id: string;
  readonly kind: SignalKindText;
  readonly nodeId: string;
  /** When the node will be gone; undefined where the signal does not say. */
  readonly effectiveAtMs: number | undefined;
}

export interface WorkloadView {
  readonly name: string;
  readonly state: WorkloadStateText;
  readonly memoryBytes: number;
  readonly priority: number;
  /** In which a move is asked for; default: auto. */
  readonly mode?: Mode;
  /** Of its policies; a move that nothing forces waits for them. */
  readonly windows?: Effective["windows"];
  readonly needs: WorkloadNeeds | undefined;
  readonly hasSharedVolume: boolean;
  readonly times: MoveTimes;
  /** The move in progress, and where to. */
  readonly migration: { readonly id: string; readonly targetNodeId: string } | undefined;
}

/** The guard rails as they stand. */
export interface RailsView {
  readonly isPaused: boolean;
  readonly pausedReason: string;
  readonly isInWindow: boolean;
  readonly resting: ReadonlyMap<string, Rest>;
  readonly leftRecently: ReadonlyMap<string, ReadonlySet<string>>;
  readonly limits: WaveLimits;
}

export interface DecisionInput {
  readonly signals: readonly SignalView[];
  /** By node, of the signals' nodes. */
  readonly workloads: ReadonlyMap<string, readonly WorkloadView[]>;
  /** All nodes, the signals' own included. */
  readonly nodes: readonly NodeView[];
  readonly context: ScoreContext;
  readonly rails: RailsView;
  readonly policy: DecisionPolicy;
  /** By workload: does a move pay? What is not in it is not weighed. */
  readonly weighed: ReadonlyMap<string, MoveDecision>;
}

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

/** Signals that lead to no move whatever the plan would be. */
function withoutMoves(
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

const outsideOf = (policy: string | undefined) => `outside of the windows of ${policy}`;

/** A notice does not wait for windows, rest or sums. */
const forces = ({ kind }: SignalView): boolean => kind === "notice";

/** Of those workloads, the ones whose move was weighed for this signal. */
function weighedOf({ policy, weighed }: DecisionInput, signal: SignalView, workloads: readonly WorkloadView[]): MoveDecision[] {
  if (forces(signal) || (signal.kind === "rebalance" && policy.onRebalance !== "weigh")) return [];
  return workloads.flatMap(({ name }) => weighed.get(name) ?? []);
}

function scoreOf(weighed: readonly MoveDecision[]): { score?: number; threshold?: number } {
  const scores = weighed.filter(({ moveUsd }) => moveUsd > 0).map(({ stayUsd, moveUsd }) => stayUsd / moveUsd);
  const threshold = weighed[0]?.threshold;
  return scores.length === 0 || threshold === undefined ? {} : { score: Math.max(...scores), threshold };
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

function withMoves(
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
  const rest = `${kept.length === 0 ? "" : `, ${kept.length} are kept in snapshots first`}${left === 0 ? "" : `, ${left} cannot`}`;
  return {
    ...common,
    action: "migrate",
    rule: ruleOf(signal, "move"),
    reason: `${why}: ${moved.length} of ${moves.length} workloads move${rest}`,
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

const fits = new WeakMap<readonly NodeView[], number>();

/** Counted once a batch: a wave is hundreds of signals. */
function fitIn(nodes: readonly NodeView[]): number {
  const known = fits.get(nodes);
  if (known !== undefined) return known;
  const fit = nodes.filter((node) => node.isConnected && !node.isCordoned && node.announced === undefined).length;
  fits.set(nodes, fit);
  return fit;
}

function inputsOf(input: DecisionInput, signal: SignalView, workloads: readonly WorkloadView[], leftMs: number | undefined): Fact[] {
  const { nodes, rails, policy } = input;
  return [
    { name: "signal", value: signal.kind },
    ...(leftMs === undefined ? [] : [{ name: "time left", value: `${(leftMs / 1000).toFixed(1)} s` }]),
    { name: "workloads on the node", value: String(workloads.length) },
    { name: "memory to carry", value: `${Math.round(workloads.reduce((sum, each) => sum + each.memoryBytes, 0) / 1_048_576)} MiB` },
    { name: "nodes that are connected, not cordoned and not announced", value: `${fitIn(nodes)} of ${nodes.length}` },
    { name: "moves under way", value: `${rails.limits.busyInAll} of ${rails.limits.movesAtOnce}` },
    { name: "policy on a rebalance recommendation", value: policy.onRebalance },
    ...workloads.flatMap(({ name, mode = "auto" }) =>
      mode === "auto" ? [] : [{ name: `mode that a policy of ${name} wishes for`, value: mode }],
    ),
    ...workloads.flatMap((each) =>
      weighedOf(input, signal, [each]).map(({ reason }) => ({ name: `does a move of ${each.name} pay`, value: reason })),
    ),
  ];
}

function alternativesOf(signal: SignalView, moves: readonly DecisionMove[]): string[] {
  const seconds = moves.flatMap(({ workload, targetNodeId, candidates }) => {
    const second = candidates.find((each) => each.isEligible && each.nodeId !== targetNodeId);
    const first = candidates.find((each) => each.nodeId === targetNodeId);
    return second === undefined || first === undefined
      ? []
      : [`${workload} to ${second.nodeId}: score ${second.score} against ${first.score}`];
  });
  const stay =
    signal.kind === "notice" ? "stay: everything there ends with the node" : "stay until a notice comes: two minutes instead of no hurry";
  return [stay, ...seconds.slice(0, 10)];
}
