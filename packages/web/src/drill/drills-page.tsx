import { useQuery } from "@tanstack/react-query";
import { Link, useSearch } from "@tanstack/react-router";
import { lazy, Suspense } from "react";
import { queries } from "../api/queries.ts";
import { For } from "../app/caller.tsx";
import { duration } from "../format/units.ts";
import { ClientGraph } from "../oracle/client-graph.tsx";
import { WhatIf } from "../plan/what-if.tsx";
import { Empty } from "../ui/empty.tsx";
import { useKnown } from "../ui/known.ts";
import { NodeLink } from "../ui/links.tsx";
import { Page } from "../ui/page.tsx";
import { Panel } from "../ui/panel.tsx";
import { ProblemNote } from "../ui/problem.tsx";
import { DrillBadge } from "../ui/states.tsx";
import { Cell, Row, Table } from "../ui/table.tsx";
import { Tabs } from "../ui/tabs.tsx";
import { Time } from "../ui/time.tsx";
import { kindTitle } from "./kinds.ts";
import { StartNow } from "./start.tsx";

const Schedules = lazy(() => import("./schedules.tsx"));

const tabs = [
  { id: "drills", title: "Drills" },
  { id: "schedules", title: "Schedules" },
];

export function DrillsPage() {
  const { tab = "drills" } = useSearch({ from: "/drills" });
  const begun = useQuery(queries.drills());
  const { data: drills, error, refetch } = begun;
  const seen = useQuery(queries.oracles());
  const { data: oracles = [] } = seen;
  const isKnown = useKnown([begun, seen, useQuery(queries.nodes())]);
  const { data: migrations = [] } = useQuery(queries.migrations());
  return (
    <Page
      title="Drills"
      about="Interruptions that are rehearsed: announced where a real one would be, watched by clients that check every answer, and judged by what was measured."
    >
      <Tabs tabs={tabs} current={tab} />
      {error !== null && <ProblemNote error={error} onRetry={() => void refetch()} />}
      {tab === "schedules" ? (
        <Suspense>
          <Schedules />
        </Suspense>
      ) : !isKnown ? (
        <div className="min-h-dvh" />
      ) : (
        <div className="grid items-start gap-4 lg:grid-cols-[20rem_minmax(0,1fr)]">
          <For as="operator">
            <StartNow />
          </For>
          <div className="grid min-w-0 gap-4">
            {oracles.length > 0 && (
              <Panel title="What clients see" isFlush>
                {oracles.map((report) => (
                  <ClientGraph key={report.name} report={report} migrations={migrations} />
                ))}
              </Panel>
            )}
            {drills !== undefined && (
              <Panel title="Past and present" isFlush>
                {drills.length === 0 ? (
                  <Empty command="aether drill start --kind notice --node NODE --wait">No drill was run yet.</Empty>
                ) : (
                  <Table label="Drills" head={["started", "kind", "node", "result", "decided in", "safe after", "checks"]}>
                    {drills.map((drill) => (
                      <Row key={drill.id}>
                        <Cell>
                          <Link to="/drills/$id" params={{ id: drill.id }} className="font-medium hover:underline">
                            <Time at={drill.startedAt} />
                          </Link>
                        </Cell>
                        <Cell>
                          {kindTitle(drill.kind)}
                          {drill.scheduleId !== "" && <span className="block text-xs text-soft">by its schedule</span>}
                        </Cell>
                        <Cell>
                          <NodeLink id={drill.nodeId} />
                        </Cell>
                        <Cell>
                          <DrillBadge drill={drill} />
                        </Cell>
                        <Cell className="nums whitespace-nowrap">
                          {drill.noticeToDecisionMs > 0 ? duration(drill.noticeToDecisionMs) : "—"}
                        </Cell>
                        <Cell className="nums whitespace-nowrap">{drill.noticeToSafeMs > 0 ? duration(drill.noticeToSafeMs) : "—"}</Cell>
                        <Cell className="nums whitespace-nowrap">
                          {drill.checks.length === 0
                            ? "—"
                            : `${drill.checks.filter(({ isPassed }) => isPassed).length} of ${drill.checks.length}`}
                        </Cell>
                      </Row>
                    ))}
                  </Table>
                )}
              </Panel>
            )}
            <WhatIf />
          </div>
        </div>
      )}
    </Page>
  );
}
