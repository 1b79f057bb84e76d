// A running drill, looked at again and again until it can be judged. Nothing is remembered beside the rows, so a restart changes nothing:
//   running -> (judged: the checks are in the report) -> withdrawn -> passed | failed          running -> withdrawn -> stopped
// The verdict is on record before the interruption is withdrawn, and the end after it, so a crash between any two of them is only repeated.

import { Fault } from "@aether/contract";
import { DrillCheckSchema, DrillSchema } from "@aether/contract/gen/aether/v2/drill_pb";
import { faultpoint, sleep } from "@aether/kit";
import { clone, create } from "@bufbuild/protobuf";
import type { Db } from "../db/database.ts";
import type { Row } from "../db/schema.ts";
import type { Events } from "../events/events.ts";
import { isEnded } from "../migration/state.ts";
import { untilMs } from "./oracle.ts";
import { measured } from "./prediction.ts";
import { type StageParts, withdraw } from "./stage.ts";
import { readDrillFacts, reportColumn, reportOf } from "./store.ts";
import { type DrillFacts, judge } from "./verdict.ts";

export interface DrillParts extends StageParts {
  readonly events: Events;
  readonly nowMs: () => number;
}

/** An agent polls each second: what it has not reported after this long it does not see. */
const hearingMs = 20_000;
/** Clients report each second: what the last move did to them is known by then. */
const clientsMs = 2_500;
/** How long the clients' word is waited for after the last move. */
const clientsPatienceMs = 10_000;
/** A rolled back move is tried again within this. */
const retryMs = 6_000;
/** From an assessment to what is found to pay by it. */
const weighingMs = 2_000;
/** After the deadline, for what was under way. */
const graceMs = 2_000;

/** Brings a running drill as far as it goes now. Answers true when it has ended. */
export async function advanceDrill(parts: DrillParts, id: string, signal: AbortSignal): Promise<boolean> {
  const { db, nowMs } = parts;
  const row = await db.selectFrom("drills").selectAll().where("id", "=", id).where("state", "=", "running").executeTakeFirst();
  if (row === undefined) return true;
  if (reportOf(row).checks.length === 0) {
    const facts = await readDrillFacts(db, row);
    if (!isRipe(facts, nowMs())) return false;
    await writeVerdict(db, row, facts);
    await faultpoint("core.drill.judged");
  }
  await endDrill(parts, id, undefined, signal);
  return true;
}

/** Can it be judged, or would more time change something? */
export function isRipe(facts: DrillFacts, nowMs: number): boolean {
  if (nowMs >= facts.deadlineAtMs + graceMs) return true;
  if (facts.crash !== undefined) return facts.crash.answeredAtMs !== undefined && haveClientsSpoken(facts, facts.crash.answeredAtMs, nowMs);
  if (facts.price !== undefined && facts.decision === undefined) {
    // Weighed in the same pass, right after it was assessed.
    return facts.price.assessedAtMs !== undefined && nowMs >= facts.price.assessedAtMs + weighingMs;
  }
  if (facts.observedAtMs === undefined) return nowMs - facts.startedAtMs >= hearingMs;
  if (facts.decision === undefined) return nowMs - facts.observedAtMs >= hearingMs;
  if (facts.moves.some((move) => !isEnded(move.state))) return false;
  if (facts.workloads.length === 0) return true;
  const done = facts.workloads.filter((name) => facts.moves.some((move) => move.workload === name && move.state === "done"));
  if (done.length < facts.workloads.length) {
    const lastMs = Math.max(facts.observedAtMs, ...facts.moves.map((move) => move.endedAtMs ?? 0));
    return nowMs - lastMs >= retryMs;
  }
  return haveClientsSpoken(facts, Math.max(...facts.moves.map((move) => move.resumedAtMs ?? 0)), nowMs);
}

/** Of each client that speaks at all; who says nothing is not waited for without end. */
function haveClientsSpoken(facts: DrillFacts, sinceMs: number, nowMs: number): boolean {
  const oracles = Map.groupBy(
    facts.reports.filter((report) => facts.workloads.includes(report.workload)),
    (report) => report.name,
  );
  const haveAllSpoken =
    oracles.size > 0 && [...oracles.values()].every((reports) => reports.some((report) => untilMs(report) >= sinceMs + clientsMs));
  return haveAllSpoken || nowMs >= sinceMs + clientsPatienceMs;
}

async function writeVerdict(db: Db, row: Row<"drills">, facts: DrillFacts & { signalId: string; decisionId: string }): Promise<void> {
  const verdict = judge(facts);
  const report = clone(DrillSchema, reportOf(row));
  report.checks = [...verdict.checks];
  report.oracles = [...verdict.oracles];
  report.predictions = measured(report.predictions, facts.moves, facts.observedAtMs);
  report.migrationIds = facts.moves.map((move) => move.migrationId);
  report.noticeToDecisionMs = facts.decision?.sinceObservedMs ?? 0;
  report.noticeToSafeMs = verdict.noticeToSafeMs;
  await db
    .updateTable("drills")
    .set({ report: reportColumn(report), signal_id: facts.signalId || null, decision_id: facts.decisionId || null })
    .where("id", "=", row.id)
    .where("state", "=", "running")
    .execute();
}

/** Withdraws the announcement and closes the record. `stopped`: by a person, without a verdict. */
export async function endDrill(parts: DrillParts, id: string, how: "stopped" | undefined, signal: AbortSignal): Promise<void> {
  const { db, events, nowMs, log } = parts;
  const row = await db.selectFrom("drills").selectAll().where("id", "=", id).executeTakeFirst();
  if (row === undefined || row.state !== "running") return;
  const report = clone(DrillSchema, reportOf(row));
  const problem = await withdrawn(parts, row, signal);
  if (problem !== undefined) {
    log.error({ err: problem, drill: id, node: row.node_id }, "drill.not_withdrawn");
    report.checks.push(create(DrillCheckSchema, { name: "interruption withdrawn", isPassed: false, detail: problem.message }));
  }
  const state = how ?? (report.checks.length > 0 && report.checks.every((check) => check.isPassed) ? "passed" : "failed");
  const failed = report.checks.filter((check) => !check.isPassed).map((check) => `${check.name}: ${check.detail}`);
  await db.transaction().execute(async (tx) => {
    const ended = await tx
      .updateTable("drills")
      .set({ state, ended_at: new Date(nowMs()), report: reportColumn(report) })
      .where("id", "=", id)
      .where("state", "=", "running")
      .returning("id")
      .executeTakeFirst();
    if (ended === undefined) return;
    await events.append(tx, {
      type: `drill.${state}`,
      subject: `drill/${id}`,
      message: `the drill on ${row.node_id} ${state === "stopped" ? "was stopped" : state}${failed.length === 0 ? "" : `: ${failed.join("; ")}`}`,
      data: { nodeId: row.node_id, kind: row.kind },
    });
  });
  log.info({ drill: id, node: row.node_id, state }, `drill.${state}`);
}

async function withdrawn(parts: StageParts, row: Row<"drills">, signal: AbortSignal): Promise<Fault | undefined> {
  for (let attempt = 1; ; attempt++) {
    try {
      await withdraw(parts, row, signal);
      return undefined;
    } catch (caught) {
      if (signal.aborted) throw caught;
      if (attempt === 3) return Fault.from(caught);
      await sleep(300 * attempt, signal);
    }
  }
}
