// Where an operator looks first: is all well, what moves now, what do clients see, and what happened last.
import type { Event } from "@aether/contract/gen/aether/v2/common_pb";
import { MigrationState } from "@aether/contract/gen/aether/v2/migration_pb";
import { NodeState } from "@aether/contract/gen/aether/v2/node_pb";
import { WorkloadState } from "@aether/contract/gen/aether/v2/workload_pb";
import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { lazy, Suspense } from "react";
import { mostRecent, queries } from "../api/queries.ts";
import { useRecentEvents } from "../event/recent.ts";
import { FirstRun } from "../first-run/first-run.tsx";
import { msOf } from "../format/time.ts";
import { ago, duration, plural } from "../format/units.ts";
import { PausedNote } from "../guard/paused.tsx";
import { useFleetLive } from "../live/live.tsx";
import { ClientGraph } from "../oracle/client-graph.tsx";
import { Empty } from "../ui/empty.tsx";
import { EventList } from "../ui/events.tsx";
import { Stat } from "../ui/facts.tsx";
import { MigrationLink } from "../ui/links.tsx";
import { useNow } from "../ui/now.ts";
import { Page } from "../ui/page.tsx";
import { Panel } from "../ui/panel.tsx";
import { ProblemNote } from "../ui/problem.tsx";
import { MigrationBadge } from "../ui/states.tsx";
import { NodeCards } from "./node-cards.tsx";

const MoveTimeline = lazy(() => import("../migration/move-timeline.tsx"));

export function OverviewPage() {
  useFleetLive();
  const nodes = useQuery(queries.nodes());
  const workloads = useQuery(queries.workloads());
  const migrations = useQuery(queries.migrations());
  const error = nodes.error ?? workloads.error ?? migrations.error;
  // What stands above decides where the rest is: it is shown when all of that is known, so that nothing jumps.
  const above = [nodes, workloads, migrations, useQuery(queries.drills()), useQuery(queries.certificates()), useQuery(queries.guards())];
  if (above.some(({ isPending }) => isPending)) return <Page title="Overview">{error !== null && <ProblemNote error={error} />}</Page>;
  return (
    <Page title="Overview">
      <div className="grid gap-4">
        {error !== null && <ProblemNote error={error} />}
        <PausedNote />
        <FirstRun />
        <Numbers />
        <div className="grid items-start gap-4 xl:grid-cols-[minmax(0,1fr)_24rem]">
          <div className="grid min-w-0 gap-4">
            <Panel
              title="Nodes and what runs on them"
              aside={
                <Link to="/nodes" className="text-xs hover:underline">
                  all nodes
                </Link>
              }
              isFlush
            >
              <NodeCards nodes={nodes.data} workloads={workloads.data} />
            </Panel>
            <Clients />
            <LastMove />
          </div>
          <Happened />
        </div>
      </div>
    </Page>
  );
}

function Numbers() {
  const nowMs = useNow();
  const { data: nodes = [] } = useQuery(queries.nodes());
  const { data: workloads = [] } = useQuery(queries.workloads());
  const { data: migrations = [] } = useQuery(queries.migrations());
  const ready = nodes.filter(({ state, isConnected }) => state === NodeState.READY && isConnected).length;
  const running = workloads.filter(({ state }) => state === WorkloadState.RUNNING || state === WorkloadState.MIGRATING).length;
  const ill = workloads.filter(({ state }) =>
    [WorkloadState.FAILED, WorkloadState.LOST, WorkloadState.NEEDS_OPERATOR, WorkloadState.EXITED].includes(state),
  );
  // Of more than are listed, those under way are asked for as such: in a wave they are the oldest ones too.
  const isMany = migrations.length >= mostRecent;
  const { data: active } = useQuery({ ...queries.movesUnderWay(), enabled: isMany });
  const underWay = (isMany ? active : undefined) ?? migrations.filter(({ endedAt }) => endedAt === undefined);
  const last = migrations.find(({ receipt }) => receipt !== undefined);
  const interrupted = nodes.filter(({ state }) => state === NodeState.INTERRUPTED).length;
  return (
    <div className="grid grid-cols-2 gap-3 lg:grid-cols-4">
      <Stat
        name="Nodes ready"
        value={`${ready} of ${nodes.length}`}
        note={interrupted > 0 ? `${interrupted} to be interrupted` : "none to be interrupted"}
      />
      <Stat
        name="Workloads running"
        value={`${running} of ${workloads.length}`}
        note={
          ill.length === 0 ? (
            "all as they should be"
          ) : (
            <Link to="/workloads" search={{ state: "trouble" }} className="text-bad hover:underline">
              {plural(ill.length, "needs a look", "need a look")}
            </Link>
          )
        }
      />
      <Stat
        name="Moving now"
        value={underWay.length}
        note={
          underWay[0] === undefined ? (
            "nothing"
          ) : (
            <Link to="/migrations" search={{ state: "under-way" }} className="hover:underline">
              {underWay.length === 1 ? `${underWay[0].workload} to ${underWay[0].targetNodeId}` : "see them all"}
            </Link>
          )
        }
      />
      <Stat
        name="Last freeze"
        value={last?.receipt === undefined ? "—" : duration(last.receipt.freezeMs)}
        note={
          last?.receipt === undefined
            ? "nothing has moved yet"
            : `${last.receipt.isWhole ? "nothing lost" : "not whole"}, ${ago(msOf(last.endedAt) ?? nowMs, nowMs)}`
        }
      />
    </div>
  );
}

function Clients() {
  const { data: oracles, isPending } = useQuery(queries.oracles());
  const { data: migrations = [] } = useQuery(queries.migrations());
  return (
    <Panel title="What clients see" aside={<span className="text-xs">worst latency of each slice, logarithmic</span>} isFlush>
      {isPending && <div className="h-56" />}
      {oracles?.length === 0 && (
        <Empty command="aether up">No client that checks its answers reports. The demo of the local cloud does.</Empty>
      )}
      <div className="divide-y divide-line">
        {oracles?.map((report) => (
          <ClientGraph key={report.name} report={report} migrations={migrations} />
        ))}
      </div>
    </Panel>
  );
}

function LastMove() {
  const { data: migrations, isPending } = useQuery(queries.migrations());
  const newest = migrations?.find(({ state }) => state !== MigrationState.DONE && state !== MigrationState.ROLLED_BACK) ?? migrations?.[0];
  const whole = useQuery({ ...queries.migration(newest?.id ?? ""), enabled: newest !== undefined });
  const move = whole.data ?? newest;
  if (move === undefined) {
    return (
      <Panel title="Last move">
        {isPending ? (
          <div className="h-24" />
        ) : (
          <Empty command="aether migrate NAME">Nothing has moved yet. Interrupt a node above, or move a workload by hand.</Empty>
        )}
      </Panel>
    );
  }
  return (
    <div className="grid gap-2">
      <div className="flex flex-wrap items-center gap-2">
        <h2 className="font-semibold">{move.endedAt === undefined ? "Moving now" : "Last move"}</h2>
        <MigrationLink id={move.id}>
          {move.workload}: {move.sourceNodeId} → {move.targetNodeId}
        </MigrationLink>
        <MigrationBadge state={move.state} />
      </div>
      <Suspense fallback={<div className="h-80 rounded-lg border border-line bg-surface" />}>
        <MoveTimeline migration={move} isShort />
      </Suspense>
    </div>
  );
}

/** Each step of a move is on the move's own page. */
const isWorthALook = ({ type }: Event) => type !== "migration.step.done";

function Happened() {
  const { events, isPending } = useRecentEvents(isWorthALook);
  return (
    <Panel
      title="What happened"
      aside={
        <Link to="/events" className="text-xs hover:underline">
          all events
        </Link>
      }
      isFlush
    >
      {isPending ? <div className="h-96" /> : <EventList events={events.slice(0, 20)} />}
    </Panel>
  );
}
