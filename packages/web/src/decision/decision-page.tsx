// Why did it, or did it not? The rule, its inputs, each workload's target among its alternatives with the reasons, and the guard rails that bit.
import type { Decision, DecisionMove } from "@aether/contract/gen/aether/v2/signal_pb";
import { useQuery } from "@tanstack/react-query";
import { useParams } from "@tanstack/react-router";
import { queries } from "../api/queries.ts";
import { duration } from "../format/units.ts";
import { GuardNotes } from "../guard/notes.tsx";
import { Badge } from "../ui/badge.tsx";
import { Facts } from "../ui/facts.tsx";
import { MigrationLink, NodeLink, SubjectLink, WorkloadLink } from "../ui/links.tsx";
import { Page } from "../ui/page.tsx";
import { Panel } from "../ui/panel.tsx";
import { ProblemNote } from "../ui/problem.tsx";
import { Time } from "../ui/time.tsx";
import { TraceLink } from "../ui/trace.tsx";
import { ActionBadge } from "./table.tsx";
import { TargetTable } from "./targets.tsx";

export function DecisionPage() {
  const { id } = useParams({ from: "/decisions/$id" });
  const { data: decision, error, refetch } = useQuery(queries.decision(id));
  if (decision === undefined)
    return <Page title="Decision">{error !== null && <ProblemNote error={error} onRetry={() => void refetch()} />}</Page>;
  return (
    <Page
      title={`Decision about ${decision.nodeId}`}
      heading={
        <span className="flex flex-wrap items-center gap-2">
          Decision about <NodeLink id={decision.nodeId} /> <ActionBadge action={decision.action} />
        </span>
      }
    >
      <div className="grid gap-4">
        <Panel title="Why">
          <p className="mb-3 text-base break-words">{decision.reason}</p>
          <Why decision={decision} />
          {decision.guards.length > 0 && (
            <div className="mt-3">
              <GuardNotes notes={decision.guards} />
            </div>
          )}
        </Panel>
        {(decision.inputs.length > 0 || decision.alternatives.length > 0) && (
          <div className="grid items-start gap-4 lg:grid-cols-2">
            {decision.inputs.length > 0 && (
              <Panel title="What it was made of">
                <Facts facts={decision.inputs.map(({ name, value }) => [name, value] as const)} />
              </Panel>
            )}
            {decision.alternatives.length > 0 && (
              <Panel title="What else could have been done">
                <ul className="grid list-disc gap-1 pl-5 wrap-anywhere">
                  {decision.alternatives.map((each) => (
                    <li key={each}>{each}</li>
                  ))}
                </ul>
              </Panel>
            )}
          </div>
        )}
        {decision.moves.map((move) => (
          <Alternatives key={move.workload} move={move} />
        ))}
        {decision.moves.length === 0 && <p className="text-soft">Nothing was moved by this decision.</p>}
      </div>
    </Page>
  );
}

function Why({ decision }: { decision: Decision }) {
  const { data: signals = [] } = useQuery(queries.signals(decision.nodeId));
  const signal = signals.find(({ id }) => id === decision.signalId);
  return (
    <Facts
      facts={[
        ["rule", <code className="font-mono text-xs">{decision.rule}</code>],
        decision.ruleVersion !== "" && ["version", decision.ruleVersion],
        decision.threshold > 0 && ["weighed", `${Number(decision.score.toFixed(3))}; acts above ${Number(decision.threshold.toFixed(3))}`],
        ["at", <Time at={decision.at} />],
        signal !== undefined && ["heard from", `${signal.source}${signal.action === "" ? "" : `: ${signal.action}`}`],
        signal?.effectiveAt !== undefined && ["takes effect", <Time at={signal.effectiveAt} />],
        [
          "decided in",
          `${duration(decision.latencyMs)} after the control plane had it${decision.sinceObservedMs > 0 ? `, ${duration(decision.sinceObservedMs)} after the agent saw it` : ""}`,
        ],
        ["id", <span className="font-mono text-xs">{decision.id}</span>],
        ["trace", <TraceLink id={decision.traceId} />],
      ]}
    />
  );
}

function Alternatives({ move }: { move: DecisionMove }) {
  return (
    <Panel
      title={
        <>
          <WorkloadLink name={move.workload} />
          {move.targetNodeId !== "" && (
            <>
              {" "}
              goes to <NodeLink id={move.targetNodeId} />
            </>
          )}
        </>
      }
      aside={
        <>
          {move.migrationId !== "" && <MigrationLink id={move.migrationId}>see the move</MigrationLink>}
          {move.snapshotId !== "" && <SubjectLink subject={`snapshot/${move.snapshotId}`} text="see the snapshot" />}
          {move.refusal !== "" && <Badge tone="bad">not moved</Badge>}
        </>
      }
      isFlush
    >
      {move.refusal !== "" && <p className="px-4 py-3 wrap-anywhere text-bad">{move.refusal}</p>}
      {(move.safeAfterMs > 0 || move.guards.length > 0) && (
        <div className="grid gap-2 px-4 py-3">
          {move.safeAfterMs > 0 && (
            <p className="nums text-soft">
              planned: {move.action || "move"} begins after {duration(move.startsAfterMs)}, safe after {duration(move.safeAfterMs)}
              {move.priority > 0 && `, priority ${move.priority}`}
            </p>
          )}
          <GuardNotes notes={move.guards} />
        </div>
      )}
      <TargetTable workload={move.workload} candidates={move.candidates} chosen={move.targetNodeId} />
    </Panel>
  );
}
