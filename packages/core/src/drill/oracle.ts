// What clients with an oracle saw, report by report, and how several reports make one. Pure.
import { type OracleReport, OracleReportSchema } from "@aether/contract/gen/aether/v2/drill_pb";
import { clone, create } from "@bufbuild/protobuf";
import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";

export const sinceMs = (report: OracleReport): number => (report.since ? timestampMs(report.since) : 0);
export const untilMs = (report: OracleReport): number => (report.until ? timestampMs(report.until) : 0);

/**
 * One report over all of them; they are of one oracle. Counts add up. The 99th percentile is the worst of the parts (an upper bound), the median
 * their mean weighted by requests: percentiles cannot be added, and these err on the side of the complaint.
 * Slices are laid on one line from the first `since` on; -1 where nothing was reported.
 */
export function mergeReports(reports: readonly OracleReport[]): OracleReport | undefined {
  // A report whose answer was lost on the way is sent again: it counts once.
  const sorted = [...new Map(reports.map((each) => [sinceMs(each), each])).values()].sort((a, b) => sinceMs(a) - sinceMs(b));
  const first = sorted[0];
  const last = sorted.reduce((latest, each) => (latest !== undefined && untilMs(latest) >= untilMs(each) ? latest : each), first);
  if (first === undefined || last === undefined) return undefined;
  const sum = (of: (report: OracleReport) => bigint) => sorted.reduce((total, each) => total + of(each), 0n);
  const max = (of: (report: OracleReport) => number) => sorted.reduce((most, each) => Math.max(most, of(each)), 0);
  const requests = sum((each) => each.requestCount);
  const weighted = sorted.reduce((total, each) => total + each.latencyP50Ms * Number(each.requestCount), 0);
  return create(OracleReportSchema, {
    name: first.name,
    workload: last.workload,
    since: timestampFromMs(sinceMs(first)),
    until: timestampFromMs(untilMs(last)),
    requestCount: requests,
    errorCount: sum((each) => each.errorCount),
    wrongCount: sum((each) => each.wrongCount),
    reconnectCount: sum((each) => each.reconnectCount),
    latencyP50Ms: requests === 0n ? 0 : weighted / Number(requests),
    latencyP99Ms: max((each) => each.latencyP99Ms),
    longestGapMs: max((each) => each.longestGapMs),
    lastError: sorted.findLast((each) => each.lastError !== "")?.lastError ?? "",
    gaps: sorted.flatMap((each) => each.gaps),
    ...slices(sorted, sinceMs(first), untilMs(last)),
  });
}

/** At most ten minutes of 100 ms slices leave in one answer. */
const maxSlices = 6_000;

function slices(sorted: readonly OracleReport[], fromMs: number, toMs: number): { sliceMs: number; worstLatencyMs: number[] } {
  const sliceMs = sorted.find((each) => each.sliceMs > 0)?.sliceMs ?? 0;
  if (sliceMs === 0) return { sliceMs, worstLatencyMs: [] };
  const line = new Array<number>(Math.min(maxSlices, Math.max(0, Math.ceil((toMs - fromMs) / sliceMs)))).fill(-1);
  for (const report of sorted) {
    if (report.sliceMs !== sliceMs) continue;
    const offset = Math.round((sinceMs(report) - fromMs) / sliceMs);
    for (const [i, worst] of report.worstLatencyMs.entries()) {
      if (offset + i < line.length) line[offset + i] = Math.max(line[offset + i] ?? -1, worst);
    }
  }
  return { sliceMs, worstLatencyMs: line };
}

/** The last reports of each oracle, for the graph; bounded in reports and in oracles, oldest out first. */
export function createOracleRing(options: { readonly reportsEach: number; readonly oracles: number }): {
  add(report: OracleReport): void;
  /** One merged report an oracle, of what ended after `afterMs`. */
  list(afterMs: number): OracleReport[];
} {
  const rings = new Map<string, OracleReport[]>();
  return {
    add(report) {
      const ring = rings.get(report.name) ?? [];
      ring.push(clone(OracleReportSchema, report));
      if (ring.length > options.reportsEach) ring.shift();
      rings.delete(report.name); // the newest speaker last, so that the first key is the one longest silent
      rings.set(report.name, ring);
      const [silent] = rings.keys();
      if (rings.size > options.oracles && silent !== undefined) rings.delete(silent);
    },
    list: (afterMs) =>
      [...rings.values()]
        .map((ring) => mergeReports(ring.filter((each) => untilMs(each) > afterMs)))
        .filter((each) => each !== undefined)
        .sort((a, b) => a.name.localeCompare(b.name)),
  };
}
