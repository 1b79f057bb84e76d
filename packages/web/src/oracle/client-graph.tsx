// What a client sees that checks every answer: its worst latency over the last two minutes, or over all of a drill, with moves and pauses marked.
import type { OracleReport } from "@aether/contract/gen/aether/v2/drill_pb";
import type { Migration } from "@aether/contract/gen/aether/v2/migration_pb";
import { useMemo } from "react";
import { msOf } from "../format/time.ts";
import { count, duration } from "../format/units.ts";
import { Badge } from "../ui/badge.tsx";
import { WorkloadLink } from "../ui/links.tsx";
import { LatencyGraph } from "./latency-graph.tsx";
import { gapsIn, pointsOf } from "./points.ts";

const windowMs = 120_000;

interface Props {
  readonly report: OracleReport;
  readonly migrations: readonly Migration[];
  /** All that the report is about, as of a drill that has ended; else what is within two minutes of now. */
  readonly isWhole?: boolean;
}

export function ClientGraph({ report, migrations, isWhole = false }: Props) {
  const untilMs = msOf(report.until) ?? Date.now();
  const fromMs = isWhole ? Math.min(msOf(report.since) ?? 0, untilMs - 1_000) : untilMs - windowMs;
  const points = useMemo(() => pointsOf(report), [report]);
  const moves = migrations
    .filter(({ workload }) => workload === report.workload)
    .map(({ createdAt, endedAt }) => ({ fromMs: msOf(createdAt) ?? 0, toMs: msOf(endedAt) ?? untilMs }))
    .filter((band) => band.toMs > fromMs && band.fromMs < untilMs);
  const pauses = gapsIn(report, fromMs, untilMs);
  const problems = Number(report.errorCount + report.wrongCount);
  return (
    <div>
      <div className="flex flex-wrap items-center gap-x-3 gap-y-1 px-4 py-2">
        <span>
          <strong className="font-medium">{report.name}</strong> asks <WorkloadLink name={report.workload} />
        </span>
        {problems === 0 ? (
          <Badge tone="good">every answer right</Badge>
        ) : (
          <Badge tone="bad">
            {count(report.errorCount)} errors, {count(report.wrongCount)} wrong answers
          </Badge>
        )}
        {report.longestGapMs > 0 && <Badge tone="warn">longest pause {duration(report.longestGapMs)}</Badge>}
        <span className="nums ml-auto text-xs text-soft">
          {count(report.requestCount)} requests in {duration(untilMs - fromMs)} · median {duration(report.latencyP50Ms)}
        </span>
      </div>
      <LatencyGraph
        label={`Worst latency of ${report.workload} as ${report.name} ${isWhole ? "saw it" : "sees it, over the last two minutes"}`}
        fromMs={fromMs}
        toMs={untilMs}
        points={points}
        moves={moves}
        pauses={pauses}
      />
      {report.lastError !== "" && <p className="px-4 pb-3 break-words text-bad">Last error: {report.lastError}</p>}
    </div>
  );
}
