// A client's report is checked once, here: afterwards it is believed. Bounds keep one client from filling the memory of the control plane.
import { fault, parseLabel, parseWorkloadName } from "@aether/contract";
import { type OracleReport, OracleReportSchema } from "@aether/contract/gen/aether/v2/drill_pb";
import { create } from "@bufbuild/protobuf";
import { sinceMs, untilMs } from "./oracle.ts";

const maxSlices = 3_600;
const maxGaps = 1_000;
/** A clock of another machine may run ahead a little. */
const maxAheadMs = 60_000;

/** Throws INVALID_ARGUMENT that names the field. */
export function checkReport(report: OracleReport | undefined, nowMs: number): OracleReport {
  if (report === undefined) throw fault("INVALID_ARGUMENT", "report is missing", { field: "report" });
  const refuse = (field: string, why: string): never => {
    throw fault("INVALID_ARGUMENT", `report.${field} ${why}`, { field: `report.${field}` });
  };
  parseLabel(report.name, "report.name");
  parseWorkloadName(report.workload, "report.workload");
  if (report.since === undefined) refuse("since", "is missing");
  if (report.until === undefined) refuse("until", "is missing");
  if (untilMs(report) < sinceMs(report)) refuse("until", "lies before since");
  if (untilMs(report) > nowMs + maxAheadMs) refuse("until", "lies in the future");
  for (const field of ["latencyP50Ms", "latencyP99Ms", "longestGapMs"] as const) {
    if (!isDuration(report[field])) refuse(field, "must be a duration in ms, 0 or more");
  }
  if (report.errorCount > report.requestCount + report.reconnectCount) refuse("error_count", "is more than was asked");
  if (report.wrongCount > report.requestCount) refuse("wrong_count", "is more than was asked");
  if (report.worstLatencyMs.length > maxSlices) refuse("worst_latency_ms", `has more than ${maxSlices} slices`);
  if (!report.worstLatencyMs.every(isDuration)) refuse("worst_latency_ms", "must hold durations in ms, 0 or more");
  if (report.worstLatencyMs.length > 0 && (report.sliceMs < 10 || report.sliceMs > 60_000)) refuse("slice_ms", "must be 10 to 60000");
  if (report.gaps.length > maxGaps) refuse("gaps", `has more than ${maxGaps} entries`);
  if (!report.gaps.every((gap) => gap.at !== undefined && isDuration(gap.durationMs))) refuse("gaps", "need a time and a duration each");
  return create(OracleReportSchema, { ...report, lastError: report.lastError.slice(0, 500) });
}

const isDuration = (ms: number): boolean => Number.isFinite(ms) && ms >= 0;
