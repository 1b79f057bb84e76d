// The timeline of one move with what it needs: its events, the pauses of its clients, and the same as a table.
import type { Migration } from "@aether/contract/gen/aether/v2/migration_pb";
import { useQuery } from "@tanstack/react-query";
import { useMemo, useState } from "react";
import { queries } from "../api/queries.ts";
import { msOf } from "../format/time.ts";
import { bytes, duration } from "../format/units.ts";
import { Badge } from "../ui/badge.tsx";
import { useNow } from "../ui/now.ts";
import { Panel } from "../ui/panel.tsx";
import { Cell, Table } from "../ui/table.tsx";
import { layoutOf } from "./layout.ts";
import { Timeline } from "./timeline.tsx";

/** The picture and, for whoever reads, the same as a table. */
export function MoveTimeline({ migration, isShort = false }: { migration: Migration; isShort?: boolean }) {
  const [chosen, setChosen] = useState<string>();
  const nowMs = useNow();
  const isLive = migration.endedAt === undefined;
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
          <span className="text-xs">both hosts on one clock, as each measured it</span>
        )
      }
      isFlush
    >
      <div className="pt-3">
        <Timeline layout={layout} isLive={isLive} chosen={chosen} onChoose={setChosen} />
      </div>
      {!isShort && <Phases migration={migration} fromMs={layout.fromMs} chosen={chosen} />}
    </Panel>
  );
}

function Phases({ migration, fromMs, chosen }: { migration: Migration; fromMs: number; chosen: string | undefined }) {
  const phases = migration.phases
    .map((phase, i) => ({ phase, key: `phase-${i}`, offsetMs: (msOf(phase.startedAt) ?? fromMs) - fromMs }))
    .sort((a, b) => a.offsetMs - b.offsetMs);
  if (phases.length === 0) return <p className="border-t border-line px-4 py-3 text-soft">Phases appear as they end.</p>;
  return (
    <div className="border-t border-line">
      <Table label="Phases" head={["phase", "host", "began", "took", "", "facts"]}>
        {phases.map(({ phase, key, offsetMs }) => (
          <tr key={key} className={`border-t border-line ${chosen === key ? "bg-raised" : ""}`}>
            <Cell className="whitespace-nowrap">{phase.name}</Cell>
            <Cell>
              <span className={phase.nodeId === migration.targetNodeId ? "text-target" : "text-source"}>{phase.nodeId}</span>
            </Cell>
            <Cell className="nums whitespace-nowrap text-soft">+{duration(offsetMs)}</Cell>
            <Cell className="nums whitespace-nowrap">{duration(phase.durationMs)}</Cell>
            <Cell>{phase.outcome === "failed" && <Badge tone="bad">failed</Badge>}</Cell>
            <Cell className="min-w-40 text-xs break-words text-soft">
              {Object.entries(phase.facts)
                .map(([name, value]) => `${name} ${/bytes$/.test(name) && /^\d+$/.test(value) ? bytes(Number(value)) : value}`)
                .join(" · ")}
            </Cell>
          </tr>
        ))}
      </Table>
    </div>
  );
}
