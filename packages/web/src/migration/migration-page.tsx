import type { Migration } from "@aether/contract/gen/aether/v2/migration_pb";
import { MigrationState } from "@aether/contract/gen/aether/v2/migration_pb";
import { useQuery } from "@tanstack/react-query";
import { useParams } from "@tanstack/react-router";
import { api } from "../api/clients.ts";
import { queries } from "../api/queries.ts";
import { useAct } from "../app/act.ts";
import { useMay } from "../app/caller.tsx";
import { TargetTable } from "../decision/targets.tsx";
import { Button } from "../ui/button.tsx";
import { EventList } from "../ui/events.tsx";
import { Facts } from "../ui/facts.tsx";
import { useKnown } from "../ui/known.ts";
import { NodeLink, SubjectLink, WorkloadLink } from "../ui/links.tsx";
import { Page } from "../ui/page.tsx";
import { Panel } from "../ui/panel.tsx";
import { ProblemNote } from "../ui/problem.tsx";
import { MigrationBadge, modeWord } from "../ui/states.tsx";
import { Time } from "../ui/time.tsx";
import { TraceLink } from "../ui/trace.tsx";
import { KernelPanel } from "./kernel.tsx";
import { MemoryPanel } from "./memory.tsx";
import MoveTimeline from "./move-timeline.tsx";
import { ReceiptPanel } from "./receipt.tsx";
import { Settle } from "./settle.tsx";
import { Steps } from "./steps.tsx";

export function MigrationPage() {
  const { id } = useParams({ from: "/migrations/$id" });
  const whole = useQuery(queries.migration(id));
  const { data: migration, error, refetch } = whole;
  const isKnown = useKnown([whole, useQuery(queries.events(`migration/${id}`)), useQuery(queries.oracles())]);
  if (migration === undefined || !isKnown) {
    return <Page title="Migration">{error !== null && <ProblemNote error={error} onRetry={() => void refetch()} />}</Page>;
  }
  return <Shown migration={migration} />;
}

function Shown({ migration }: { migration: Migration }) {
  const { id, workload, sourceNodeId, targetNodeId, state, error, receipt } = migration;
  return (
    <Page
      title={`${workload}: ${sourceNodeId} → ${targetNodeId}`}
      heading={
        <span className="flex flex-wrap items-center gap-x-2">
          <WorkloadLink name={workload} />
          <span className="text-soft">moves</span>
          <NodeLink id={sourceNodeId} /> → <NodeLink id={targetNodeId} />
          <MigrationBadge state={state} />
        </span>
      }
      aside={<Acts migration={migration} />}
    >
      <div className="grid gap-4">
        <Steps state={state} />
        {error !== undefined && (
          <div role="alert" className="rounded-lg border border-bad/40 bg-bad-ground px-4 py-3">
            <p className="font-medium break-words text-bad">
              {error.code}: {error.message}
            </p>
            <p className="break-words">{error.hint}</p>
          </div>
        )}
        <MoveTimeline migration={migration} />
        <Settle migration={migration} />
        {receipt !== undefined && <ReceiptPanel receipt={receipt} />}
        {migration.memory !== undefined && <MemoryPanel memory={migration.memory} />}
        {migration.candidates.length > 0 && (
          <Panel title="Why this target" isFlush>
            <TargetTable workload={workload} candidates={migration.candidates} chosen={targetNodeId} />
          </Panel>
        )}
        <KernelPanel source={receipt?.sourceKernel} target={receipt?.targetKernel} />
        <div className="grid items-start gap-4 lg:grid-cols-2">
          <Panel title="Facts">
            <Facts
              facts={[
                ["id", <span className="font-mono text-xs">{id}</span>],
                ["started by", <SubjectLink subject={migration.cause} />],
                migration.drillId !== "" && ["drill", <SubjectLink subject={`drill/${migration.drillId}`} />],
                ["mode", `${modeWord(migration.mode)} (asked: ${modeWord(migration.requestedMode)})`],
                ["epoch", `${migration.epochBefore}${migration.epochAfter > 0n ? ` → ${migration.epochAfter}` : ""}`],
                ["begun", <Time at={migration.createdAt} />],
                ["ended", <Time at={migration.endedAt} />],
                migration.deadlineAt !== undefined && ["deadline", <Time at={migration.deadlineAt} />],
                ["trace", <TraceLink id={migration.traceId} />],
              ]}
            />
          </Panel>
          <MoveEvents id={id} />
        </div>
      </div>
    </Page>
  );
}

function MoveEvents({ id }: { id: string }) {
  const { data: events = [] } = useQuery(queries.events(`migration/${id}`));
  return (
    <Panel title="What happened" isFlush>
      <EventList events={events} withSubject={false} />
    </Panel>
  );
}

const cancellable = new Set([
  MigrationState.PLANNED,
  MigrationState.PREPARING,
  MigrationState.COPYING,
  MigrationState.FREEZING,
  MigrationState.RESTORING,
  MigrationState.VERIFYING,
]);

function Acts({ migration: { id, state } }: { migration: Migration }) {
  const may = useMay("operator");
  const cancel = useAct(() => api.migrations.cancelMigration({ id }), {
    touches: ["migration"],
    done: () => "It is rolled back: the workload goes on where it was.",
  });
  if (!may || !cancellable.has(state)) return null;
  return (
    <Button tone="danger" onClick={() => cancel.mutate(undefined)} isBusy={cancel.isPending}>
      Cancel and roll back
    </Button>
  );
}
