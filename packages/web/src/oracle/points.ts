// From a client's report to what is drawn: worst latency of each slice on one axis of time, and the pauses. Pure.
import type { OracleReport } from "@aether/contract/gen/aether/v2/drill_pb";
import { msOf } from "../format/time.ts";

export interface Points {
  /** Seconds since 1970, as the plot wants them. */
  readonly times: number[];
  /** Milliseconds; null where the client sent nothing. */
  readonly worst: (number | null)[];
}

/** Zero means that no answer came in that slice: a gap in the line, not a fast answer. */
export function pointsOf(report: OracleReport): Points {
  const since = msOf(report.since) ?? 0;
  const sliceMs = report.sliceMs || 100;
  const times = report.worstLatencyMs.map((_, i) => (since + i * sliceMs) / 1000);
  return { times, worst: report.worstLatencyMs.map((ms) => (ms > 0 ? ms : null)) };
}

export interface Band {
  readonly fromMs: number;
  readonly toMs: number;
}

/** Pauses of the client that reach into the window. */
export function gapsIn(report: OracleReport, fromMs: number, toMs: number): Band[] {
  return report.gaps
    .map((gap) => ({ fromMs: msOf(gap.at) ?? 0, toMs: (msOf(gap.at) ?? 0) + gap.durationMs }))
    .filter((gap) => gap.toMs > fromMs && gap.fromMs < toMs);
}
