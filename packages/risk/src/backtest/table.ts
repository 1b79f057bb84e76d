/** Result rows of a backtest in the reference's own columns and number formats, so that two tables can be compared line by line. */
import type { RunResult } from "./job.ts";

export interface ResultRow {
  readonly pair: string;
  readonly window: number;
  readonly deadlineHours: number;
  readonly changeoverHours: number;
  readonly policy: string;
  readonly result: RunResult;
}

export const RESULT_COLUMNS =
  "pair,window,deadline_h,d_h,policy,cost_usd,spot_h,od_h,spot_progress_h,od_progress_h,spot_starts,od_starts,preemptions,finish_h";

const hours = (seconds: number): string => (seconds / 3600).toFixed(6);

/** One CSV line without its newline. */
export function formatRow(row: ResultRow): string {
  const r = row.result;
  const finish = r.finishSeconds === undefined ? "" : Number.isFinite(r.finishSeconds) ? (r.finishSeconds / 3600).toFixed(4) : "inf";
  return [
    row.pair,
    row.window,
    row.deadlineHours,
    row.changeoverHours,
    row.policy,
    r.costUsd.toFixed(6),
    hours(r.spotSeconds),
    hours(r.onDemandSeconds),
    hours(r.spotProgressSeconds),
    hours(r.onDemandProgressSeconds),
    r.spotStarts,
    r.onDemandStarts,
    r.preemptions ?? "",
    finish,
  ].join(",");
}
