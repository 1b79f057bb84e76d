// Did the drill pass? A pure function over what is on record. Strict: what was not seen did not happen, and a client that saw nothing proves nothing.
import { type DrillCheck, DrillCheckSchema, type OracleReport } from "@aether/contract/gen/aether/v2/drill_pb";
import type { Receipt } from "@aether/contract/gen/aether/v2/migration_pb";
import { create } from "@bufbuild/protobuf";
import type { DrillKindText } from "../db/tables/drills.ts";
import type { State } from "../migration/state.ts";
import { type CapacityFacts, capacityCheck } from "./capacity.ts";
import { type CrashFacts, crashChecks } from "./crash.ts";
import { mergeReports, sinceMs, untilMs } from "./oracle.ts";
import { type PriceFacts, priceCheck } from "./price.ts";

export interface DrillMove {
  readonly workload: string;
  readonly targetNodeId: string;
  readonly migrationId: string;
  readonly state: State;
  readonly resumedAtMs: number | undefined;
  readonly endedAtMs: number | undefined;
  readonly error: string;
  readonly receipt: Receipt | undefined;
}

export interface DrillFacts {
  readonly kind: DrillKindText;
  readonly nodeId: string;
  readonly startedAtMs: number;
  /** When the node would be gone. */
  readonly deadlineAtMs: number;
  /** When the agent's poll saw it, by core's clock. */
  readonly observedAtMs: number | undefined;
  readonly decision:
    | { readonly action: string; readonly rule: string; readonly reason: string; readonly sinceObservedMs: number }
    | undefined;
  /** What ran on the node when the drill began. */
  readonly workloads: readonly string[];
  /** The last move of each workload. */
  readonly moves: readonly DrillMove[];
  /** Every report of every oracle since the start. */
  readonly reports: readonly OracleReport[];
  /** Of drills of these kinds. */
  readonly crash?: CrashFacts;
  readonly price?: PriceFacts;
  readonly capacity?: CapacityFacts;
}

export interface Verdict {
  readonly isPassed: boolean;
  readonly checks: readonly DrillCheck[];
  readonly noticeToSafeMs: number;
  /** One merged report an oracle of a workload of this node. */
  readonly oracles: readonly OracleReport[];
}

/** Notice to decision: what the design promises. */
export const decisionBudgetMs = 500;

export function judge(facts: DrillFacts): Verdict {
  const lastResumedMs = Math.max(...facts.moves.map((move) => move.resumedAtMs ?? Number.NEGATIVE_INFINITY));
  const isAllMoved = facts.workloads.length > 0 && facts.workloads.every((name) => moveOf(facts, name)?.state === "done");
  const noticeToSafeMs = isAllMoved && facts.observedAtMs !== undefined ? lastResumedMs - facts.observedAtMs : 0;
  const byOracle = Map.groupBy(
    facts.reports.filter((report) => facts.workloads.includes(report.workload)),
    (report) => report.name,
  );
  const checks = facts.crash
    ? [...crashChecks(facts.crash, facts.workloads, facts.startedAtMs), ...oracleChecks(facts, byOracle, facts.crash.answeredAtMs)]
    : facts.price
      ? [priceCheck(facts.price, facts.startedAtMs), ...weighedChecks(facts, byOracle)]
      : [...moveDrillChecks(facts, byOracle, isAllMoved, lastResumedMs), ...(facts.capacity ? [capacityCheck(facts.capacity)] : [])];
  return {
    isPassed: checks.every((each) => each.isPassed),
    checks,
    noticeToSafeMs,
    oracles: [...byOracle.values()].map((reports) => mergeReports(reports)).filter((each) => each !== undefined),
  };
}

type ByOracle = ReadonlyMap<string, readonly OracleReport[]>;

/** Everything on the node is to be gone before the deadline. */
function moveDrillChecks(facts: DrillFacts, byOracle: ByOracle, isAllMoved: boolean, lastResumedMs: number): DrillCheck[] {
  return [
    check(
      "signal heard",
      facts.observedAtMs !== undefined,
      facts.observedAtMs === undefined
        ? "the agent reported no signal"
        : `${seconds(facts.observedAtMs - facts.startedAtMs)} after the announcement`,
    ),
    decisionCheck(facts),
    check(
      "something to move",
      facts.workloads.length > 0,
      facts.workloads.length === 0 ? `nothing ran on ${facts.nodeId}` : facts.workloads.join(", "),
    ),
    ...facts.workloads.flatMap((name) => moveChecks(name, moveOf(facts, name))),
    check(
      "before the deadline",
      isAllMoved && lastResumedMs <= facts.deadlineAtMs,
      isAllMoved ? `${seconds(facts.deadlineAtMs - lastResumedMs)} were left when the last one ran` : "not everything moved",
    ),
    ...oracleChecks(facts, byOracle),
  ];
}

/** A price forces nothing: that no move pays is an answer too. What moves all the same must arrive. */
function weighedChecks(facts: DrillFacts, byOracle: ByOracle): DrillCheck[] {
  const { decision } = facts;
  const words =
    decision === undefined
      ? "no move was found to pay: everything stays"
      : `${decision.action} by ${decision.rule}, ${decision.sinceObservedMs.toFixed(1)} ms after it was found: ${decision.reason}`;
  const moved = facts.workloads.filter((name) => moveOf(facts, name) !== undefined);
  return [
    check(
      "weighed",
      facts.price?.assessedAtMs !== undefined,
      facts.price?.assessedAtMs === undefined ? "not before it is assessed" : words,
    ),
    ...moved.flatMap((name) => moveChecks(name, moveOf(facts, name))),
    ...(moved.length === 0 ? [] : oracleChecks(facts, byOracle)),
  ];
}

const moveOf = (facts: DrillFacts, workload: string) => facts.moves.find((move) => move.workload === workload);

function decisionCheck({ decision }: DrillFacts): DrillCheck {
  if (decision === undefined) return check("decision", false, "no decision is on record");
  const isInTime = decision.sinceObservedMs <= decisionBudgetMs;
  return check(
    "decision",
    decision.action === "migrate" && isInTime,
    `${decision.action} by ${decision.rule}, ${decision.sinceObservedMs.toFixed(1)} ms after the agent's poll saw it (at most ${decisionBudgetMs}): ${decision.reason}`,
  );
}

function moveChecks(workload: string, move: DrillMove | undefined): DrillCheck[] {
  if (move === undefined) return [check(`${workload} moved`, false, "no move was started")];
  const moved = check(
    `${workload} moved`,
    move.state === "done",
    `${move.migrationId} is ${move.state.replaceAll("_", " ")}${move.error === "" ? "" : `: ${move.error}`}`,
  );
  const { receipt } = move;
  const unequal = receipt?.comparisons.filter((each) => !each.isEqual).map((each) => each.what) ?? [];
  const whole = receipt?.isWhole === true;
  const detail = whole
    ? `${receipt.comparisons.length} comparisons equal, frozen for ${receipt.freezeMs.toFixed(1)} ms`
    : receipt === undefined
      ? "no receipt"
      : `not equal: ${unequal.join(", ") || "the resume is not confirmed"}`;
  return [moved, check(`${workload} receipt`, whole, detail)];
}

/** @param backAtMs of a workload that did not move: when what was done to its node was over. */
function oracleChecks(facts: DrillFacts, byOracle: ByOracle, backAtMs?: number): DrillCheck[] {
  if (byOracle.size === 0) {
    return [check("clients", false, "no client with an oracle reported on a workload of this node: that nothing was lost is not proven")];
  }
  return [...byOracle].map(([name, reports]) => {
    const all = mergeReports(reports);
    const resumedAtMs = moveOf(facts, all?.workload ?? "")?.resumedAtMs ?? backAtMs;
    const after = resumedAtMs === undefined ? [] : reports.filter((report) => sinceMs(report) >= resumedAtMs && report.requestCount > 0n);
    const before = reports.some(
      (report) => untilMs(report) <= (facts.observedAtMs ?? facts.startedAtMs) + 2_000 && report.requestCount > 0n,
    );
    const isPassed =
      all !== undefined && all.requestCount > 0n && all.errorCount === 0n && all.wrongCount === 0n && after.length > 0 && before;
    const detail =
      `${all?.requestCount ?? 0n} requests, ${all?.errorCount ?? 0n} errors, ${all?.wrongCount ?? 0n} wrong answers, ` +
      `longest gap ${(all?.longestGapMs ?? 0).toFixed(1)} ms` +
      `${after.length === 0 ? "; nothing seen afterwards" : ""}${before ? "" : "; nothing seen before"}` +
      `${all?.lastError ? `; last error: ${all.lastError}` : ""}`;
    return check(`client ${name}`, isPassed, detail);
  });
}

const check = (name: string, isPassed: boolean, detail: string): DrillCheck => create(DrillCheckSchema, { name, isPassed, detail });
const seconds = (ms: number): string => `${(ms / 1000).toFixed(2)} s`;
