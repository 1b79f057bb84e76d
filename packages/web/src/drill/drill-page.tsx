import { type Drill, DrillKind, DrillState } from "@aether/contract/gen/aether/v2/drill_pb";
import { useQueries, useQuery } from "@tanstack/react-query";
import { useParams } from "@tanstack/react-router";
import { lazy, Suspense } from "react";
import { api } from "../api/clients.ts";
import { queries } from "../api/queries.ts";
import { useAct } from "../app/act.ts";
import { For } from "../app/caller.tsx";
import { msOf } from "../format/time.ts";
import { count, duration } from "../format/units.ts";
import MoveTimeline from "../migration/move-timeline.tsx";
import { ReceiptPanel } from "../migration/receipt.tsx";
import { ClientGraph } from "../oracle/client-graph.tsx";
import { Badge, type Tone } from "../ui/badge.tsx";
import { Button } from "../ui/button.tsx";
import { Stat } from "../ui/facts.tsx";
import { useKnown } from "../ui/known.ts";
import { MigrationLink, NodeLink, SubjectLink, WorkloadLink } from "../ui/links.tsx";
import { useNow } from "../ui/now.ts";
import { Page } from "../ui/page.tsx";
import { Panel } from "../ui/panel.tsx";
import { ProblemNote } from "../ui/problem.tsx";
import { DrillBadge } from "../ui/states.tsx";
import { Cell, Row, Table, wideOnly } from "../ui/table.tsx";
import { Time } from "../ui/time.tsx";
import { kindTitle } from "./kinds.ts";

const DrillReport = lazy(() => import("./report.tsx"));

export function DrillPage() {
  const { id } = useParams({ from: "/drills/$id" });
  const { data: drill, error, refetch } = useQuery(queries.drill(id));
  if (drill === undefined)
    return <Page title="Drill">{error !== null && <ProblemNote error={error} onRetry={() => void refetch()} />}</Page>;
  const isRunning = drill.state === DrillState.RUNNING;
  return (
    <Page
      title={`Drill on ${drill.nodeId}`}
      heading={
        <span className="flex flex-wrap items-center gap-2">
          Drill: {kindTitle(drill.kind)} for <NodeLink id={drill.nodeId} /> <DrillBadge drill={drill} />
        </span>
      }
      aside={<Acts drill={drill} />}
    >
      <div className="grid gap-4">
        <Numbers drill={drill} />
        {isRunning && <Clients />}
        {drill.checks.length > 0 && (
          <Panel title="Checks" isFlush>
            <Table label="Checks" head={["check", "", "what was seen"]} wide={[2]}>
              {drill.checks.map((check) => (
                <Row key={check.name}>
                  <Cell className="sm:whitespace-nowrap">
                    {check.name}
                    <span className="block text-xs wrap-anywhere text-soft sm:hidden">{check.detail}</span>
                  </Cell>
                  <Cell>{check.isPassed ? <Badge tone="good">passed</Badge> : <Badge tone="bad">failed</Badge>}</Cell>
                  <Cell className={`break-words text-soft ${wideOnly}`}>{check.detail}</Cell>
                </Row>
              ))}
            </Table>
          </Panel>
        )}
        {drill.oracles.length > 0 && !isRunning && <Seen drill={drill} />}
        <Foretold drill={drill} />
        {drill.endedAt !== undefined && (
          <Suspense fallback={<div className="h-28" />}>
            <DrillReport id={drill.id} />
          </Suspense>
        )}
        {drill.migrationIds.map((migrationId) => (
          <Moved key={migrationId} id={migrationId} />
        ))}
        {isRunning && drill.migrationIds.length === 0 && <p className="pulse text-soft">{waiting[drill.kind] ?? "It is under way…"}</p>}
      </div>
    </Page>
  );
}

const waiting: Partial<Record<DrillKind, string>> = {
  [DrillKind.NOTICE]: "The announcement is out. The agent asks its metadata service once a second…",
  [DrillKind.REBALANCE]: "The recommendation is out. The agent asks its metadata service once a second…",
  [DrillKind.PRICE]: "The price is told. It is assessed and weighed…",
  [DrillKind.CAPACITY]: "The pool is short and the announcement is out…",
  [DrillKind.CRASH]: "The agent is killed. It must be missed…",
};

function Numbers({ drill }: { drill: Drill }) {
  const nowMs = useNow();
  const startMs = msOf(drill.startedAt) ?? nowMs;
  const endMs = msOf(drill.endedAt) ?? nowMs;
  const wrong = drill.oracles.reduce((sum, { errorCount, wrongCount }) => sum + Number(errorCount + wrongCount), 0);
  const requests = drill.oracles.reduce((sum, { requestCount }) => sum + Number(requestCount), 0);
  return (
    <div className="grid grid-cols-2 gap-3 lg:grid-cols-4">
      <Stat
        name="Notice to decision"
        value={drill.noticeToDecisionMs > 0 ? duration(drill.noticeToDecisionMs) : "—"}
        note={drill.decisionId === "" ? "not decided yet" : <SubjectLink subject={`decision/${drill.decisionId}`} text="why" />}
      />
      <Stat
        name="Notice to safe"
        value={drill.noticeToSafeMs > 0 ? duration(drill.noticeToSafeMs) : "—"}
        note={`of ${duration(drill.windowSeconds * 1000)}`}
      />
      <Stat
        name="Client errors"
        value={drill.oracles.length === 0 ? "—" : count(wrong)}
        note={drill.oracles.length === 0 ? "no client with an oracle yet" : `in ${count(requests)} requests`}
      />
      <Stat
        name={drill.endedAt === undefined ? "Runs for" : "Took"}
        value={duration(Math.max(0, endMs - startMs))}
        note={<Time at={drill.startedAt} />}
      />
    </div>
  );
}

function Clients() {
  const { data: oracles = [] } = useQuery(queries.oracles());
  const { data: migrations = [] } = useQuery(queries.migrations());
  if (oracles.length === 0) return null;
  return (
    <Panel title="What clients see" isFlush>
      {oracles.map((report) => (
        <ClientGraph key={report.name} report={report} migrations={migrations} />
      ))}
    </Panel>
  );
}

function Seen({ drill }: { drill: Drill }) {
  const moves = useQueries({ queries: drill.migrationIds.map((id) => queries.migration(id)) });
  const known = moves.flatMap(({ data }) => data ?? []);
  return (
    <Panel title="What clients saw during the drill" isFlush>
      {drill.oracles.map((report) =>
        report.worstLatencyMs.length === 0 ? null : (
          <div key={report.name} className="border-b border-line">
            <ClientGraph report={report} migrations={known} isWhole />
          </div>
        ),
      )}
      <Table label="Clients" head={["client", "requests", "errors", "wrong answers", "reconnects", "median", "p99", "longest pause"]}>
        {drill.oracles.map((oracle) => (
          <Row key={oracle.name}>
            <Cell>{oracle.name}</Cell>
            <Cell className="nums">{count(oracle.requestCount)}</Cell>
            <Cell className="nums">{count(oracle.errorCount)}</Cell>
            <Cell className="nums">{count(oracle.wrongCount)}</Cell>
            <Cell className="nums">{count(oracle.reconnectCount)}</Cell>
            <Cell className="nums">{duration(oracle.latencyP50Ms)}</Cell>
            <Cell className="nums">{duration(oracle.latencyP99Ms)}</Cell>
            <Cell className="nums">{duration(oracle.longestGapMs)}</Cell>
          </Row>
        ))}
      </Table>
    </Panel>
  );
}

/** What the certificate of each workload said when the drill began, against what was measured. */
function Foretold({ drill: { predictions } }: { drill: Drill }) {
  if (predictions.length === 0) return null;
  return (
    <Panel title="Foretold and measured" isFlush>
      <Table
        label="Foretold and measured"
        head={["workload", "certificate then", "freeze foretold", "measured", "safe foretold", "measured", "target foretold", "taken"]}
      >
        {predictions.map((each) => (
          <Row key={each.workload}>
            <Cell>
              <WorkloadLink name={each.workload} />
            </Cell>
            <Cell>
              {each.verdict === "" ? (
                <span className="text-soft">none</span>
              ) : (
                <Badge tone={verdictTones[each.verdict] ?? "plain"}>{each.verdict}</Badge>
              )}
            </Cell>
            <Cell className="nums">{measured(each.predictedFreezeMs)}</Cell>
            <Cell className="nums">{measured(each.measuredFreezeMs)}</Cell>
            <Cell className="nums">{measured(each.predictedTimeToSafeMs)}</Cell>
            <Cell className="nums">{measured(each.measuredTimeToSafeMs)}</Cell>
            <Cell>{each.predictedTargetNodeId === "" ? "—" : <NodeLink id={each.predictedTargetNodeId} />}</Cell>
            <Cell>{each.targetNodeId === "" ? "—" : <NodeLink id={each.targetNodeId} />}</Cell>
          </Row>
        ))}
      </Table>
    </Panel>
  );
}

const verdictTones: Readonly<Record<string, Tone>> = { green: "good", amber: "warn", red: "bad" };
/** 0: nothing was foretold, or nothing could be measured. */
const measured = (ms: number): string => (ms > 0 ? duration(ms) : "—");

function Moved({ id }: { id: string }) {
  const { data: migration } = useQuery(queries.migration(id));
  const isKnown = useKnown([useQuery(queries.events(`migration/${id}`)), useQuery(queries.oracles())]);
  if (migration === undefined || !isKnown) return null;
  return (
    <section className="grid gap-3" aria-label={`Move of ${migration.workload}`}>
      <h2 className="font-semibold">
        <MigrationLink id={id}>
          {migration.workload}: {migration.sourceNodeId} → {migration.targetNodeId}
        </MigrationLink>
      </h2>
      <MoveTimeline migration={migration} isShort />
      {migration.receipt !== undefined && <ReceiptPanel receipt={migration.receipt} />}
    </section>
  );
}

function Acts({ drill }: { drill: Drill }) {
  const stop = useAct(() => api.drills.stopDrill({ id: drill.id }), {
    touches: ["drill"],
    done: () => "The announcement is withdrawn; moves under way go on.",
  });
  if (drill.state === DrillState.RUNNING) {
    return (
      <For as="operator">
        <Button onClick={() => stop.mutate(undefined)} isBusy={stop.isPending}>
          Stop the drill
        </Button>
      </For>
    );
  }
  return null;
}
