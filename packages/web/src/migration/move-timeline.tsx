// The timeline of one move with what it needs: its events, the pauses of its clients, and the same as a table.
import type { Event } from "@aether/contract/gen/aether/v2/common_pb";
import type { Migration } from "@aether/contract/gen/aether/v2/migration_pb";
import { useQuery } from "@tanstack/react-query";
import { Fragment, type ReactNode, useMemo, useState } from "react";
import { queries } from "../api/queries.ts";
import { msOf } from "../format/time.ts";
import { duration } from "../format/units.ts";
import { Badge } from "../ui/badge.tsx";
import { useSteadyNow } from "../ui/now.ts";
import { Panel } from "../ui/panel.tsx";
import { Cell, Table } from "../ui/table.tsx";
import { factText } from "./fact-text.ts";
import { type Layout, layoutOf } from "./layout.ts";
import { type LoggedPhase, stepLogOf } from "./step-log.ts";
import { Timeline } from "./timeline.tsx";

/** The picture and, for whoever reads, the same as a table. */
export default function MoveTimeline({ migration, isShort = false }: { migration: Migration; isShort?: boolean }) {
  const [chosen, setChosen] = useState<string>();
  const isLive = migration.endedAt === undefined;
  const nowMs = useSteadyNow(isLive);
  const { data: events = [] } = useQuery(queries.events(`migration/${migration.id}`));
  const { data: oracles = [] } = useQuery({ ...queries.oracles(), enabled: isLive || nowMs - (msOf(migration.endedAt) ?? 0) < 120_000 });
  const gaps = useMemo(
    () =>
      oracles
        .filter((oracle) => oracle.workload === migration.workload)
        .flatMap((oracle) =>
          oracle.gaps.map((gap) => ({ client: oracle.name, fromMs: msOf(gap.at) ?? 0, toMs: (msOf(gap.at) ?? 0) + gap.durationMs })),
        ),
    [oracles, migration.workload],
  );
  const layout = layoutOf(migration, events, gaps, nowMs);
  return (
    <Panel
      title="Timeline"
      aside={
        isLive ? (
          <Badge tone="accent" isLive>
            under way
          </Badge>
        ) : (
          <ClockNote layout={layout} />
        )
      }
      isFlush
    >
      <div className="pt-3">
        <Timeline layout={layout} isLive={isLive} chosen={chosen} onChoose={setChosen} />
      </div>
      {!isShort && <Log migration={migration} events={events} fromMs={layout.fromMs} chosen={chosen} />}
    </Panel>
  );
}

function ClockNote({ layout: { uncertaintyMs } }: { layout: Layout }) {
  if (uncertaintyMs === undefined)
    return <span className="text-xs">each host by its own clock: how they stand to each other is not known</span>;
  const about =
    "A step begins after it was sent and ends before its answer came: that bounds how each host's clock stands to the control plane's.";
  return (
    <span className="text-xs" title={about}>
      all on the control plane's clock, lanes ± {duration(uncertaintyMs)}
    </span>
  );
}

function Log({
  migration,
  events,
  fromMs,
  chosen,
}: {
  migration: Migration;
  events: readonly Event[];
  fromMs: number;
  chosen: string | undefined;
}) {
  const { steps, others } = stepLogOf(migration, events);
  if (steps.length === 0 && others.length === 0)
    return <p className="border-t border-line px-4 py-3 text-soft">Steps appear as they end.</p>;
  const side = (nodeId: string) => (nodeId === migration.targetNodeId ? "text-target" : "text-source");
  return (
    <div className="border-t border-line">
      <Table label="Steps" head={["step", "host", "began", "took", "", "what it says"]}>
        {steps.map((step) => (
          <Fragment key={`${step.name}/${step.nodeId}/${step.fromMs}`}>
            <tr className="border-t border-line">
              <Cell className="font-medium whitespace-nowrap">{step.name}</Cell>
              <Cell className={side(step.nodeId)}>{step.nodeId}</Cell>
              <Cell className="nums whitespace-nowrap text-soft">+{duration(Math.max(0, step.fromMs - fromMs))}</Cell>
              <Cell className="nums whitespace-nowrap">{duration(step.tookMs)}</Cell>
              <Cell>{step.isFailed ? <Badge tone="bad">failed</Badge> : <Badge tone="good">done</Badge>}</Cell>
              <Cell className="min-w-40 text-xs break-words text-bad">{step.error}</Cell>
            </tr>
            <PhaseRows phases={step.phases} fromMs={fromMs} chosen={chosen} />
          </Fragment>
        ))}
        <PhaseRows phases={others} fromMs={fromMs} chosen={chosen} side={side} />
      </Table>
    </div>
  );
}

interface PhaseRowsProps {
  readonly phases: readonly LoggedPhase[];
  readonly fromMs: number;
  readonly chosen: string | undefined;
  /** The colour of a host; left out where the step above says which one it is. */
  readonly side?: (nodeId: string) => string;
}

function PhaseRows({ phases, fromMs, chosen, side }: PhaseRowsProps) {
  return phases.map(({ key, name, nodeId, fromMs: beganMs, durationMs, isFailed, facts }) => (
    <tr key={key} className={chosen === key ? "bg-raised" : ""}>
      <PhaseCell className="pl-8 whitespace-nowrap">{name}</PhaseCell>
      <PhaseCell className={side?.(nodeId) ?? ""}>{side === undefined ? "" : nodeId}</PhaseCell>
      <PhaseCell className="nums whitespace-nowrap text-soft">+{duration(Math.max(0, beganMs - fromMs))}</PhaseCell>
      <PhaseCell className="nums whitespace-nowrap">{duration(durationMs)}</PhaseCell>
      <PhaseCell>{isFailed && <Badge tone="bad">failed</Badge>}</PhaseCell>
      <PhaseCell className="min-w-40 text-xs break-words text-soft">
        {Object.entries(facts)
          .map(([fact, value]) => factText(fact, value))
          .join(" · ")}
      </PhaseCell>
    </tr>
  ));
}

const PhaseCell = ({ className = "", children }: { className?: string; children?: ReactNode }) => (
  <td className={`h-7 px-4 py-1 align-middle ${className}`}>{children}</td>
);
