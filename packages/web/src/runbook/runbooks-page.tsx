// What can be run, and what was. Which one is to be begun is in the URL, so that a link can ask for it.
import type { Runbook } from "@aether/contract/gen/aether/v2/runbook_pb";
import { useQuery } from "@tanstack/react-query";
import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { lazy, Suspense } from "react";
import { runbookQueries } from "../api/runbooks.ts";
import { For, useMay } from "../app/caller.tsx";
import { Badge } from "../ui/badge.tsx";
import { buttonLook, plainLook } from "../ui/button.tsx";
import { Empty } from "../ui/empty.tsx";
import { RunLink } from "../ui/links.tsx";
import { Page } from "../ui/page.tsx";
import { Panel } from "../ui/panel.tsx";
import { ProblemNote } from "../ui/problem.tsx";
import { Cell, Row, Table } from "../ui/table.tsx";
import { Tabs } from "../ui/tabs.tsx";
import { Time } from "../ui/time.tsx";
import { RunBadge, valuesText } from "./states.tsx";

const StartRun = lazy(() => import("./start-run.tsx"));

const tabs = [
  { id: "runbooks", title: "Runbooks" },
  { id: "runs", title: "Runs" },
];

export function RunbooksPage() {
  const { tab = "runbooks", start, node } = useSearch({ from: "/runbooks" });
  const navigate = useNavigate();
  const mayRun = useMay("operator");
  const { data: runbooks, error, refetch } = useQuery(runbookQueries.list());
  const chosen = mayRun ? runbooks?.find(({ name }) => name === start) : undefined;
  return (
    <Page
      title="Runbooks"
      about="Named steps that the control plane runs one after the other for whoever starts them: with that one's role, over its own restarts, nothing twice, and on record."
    >
      <Tabs tabs={tabs} current={tab} />
      {error !== null && <ProblemNote error={error} onRetry={() => void refetch()} />}
      {tab === "runs" ? (
        <Runs />
      ) : (
        <div className="grid items-start gap-4 lg:grid-cols-2">
          {runbooks?.map((runbook) => (
            <RunbookPanel key={runbook.name} runbook={runbook} />
          ))}
        </div>
      )}
      {chosen !== undefined && (
        <Suspense>
          <StartRun
            key={chosen.name}
            runbook={chosen}
            given={node === undefined ? {} : { node }}
            onClose={() => void navigate({ to: "/runbooks", search: tab === "runbooks" ? {} : { tab } })}
          />
        </Suspense>
      )}
    </Page>
  );
}

function RunbookPanel({ runbook: { name, version, description, steps, isBuiltIn, changedAt, changedBy } }: { runbook: Runbook }) {
  return (
    <Panel
      title={name}
      aside={
        <>
          {isBuiltIn ? <Badge>built in</Badge> : <span>version {version}</span>}
          <For as="operator">
            <Link to="/runbooks" search={{ start: name }} className={`${buttonLook} ${plainLook}`} aria-label={`Run ${name}`}>
              Run…
            </Link>
          </For>
        </>
      }
    >
      {description !== "" && <p className="mb-2 max-w-prose wrap-anywhere text-soft">{description}</p>}
      <ol className="flex flex-wrap gap-x-2 gap-y-1" aria-label={`Steps of ${name}`}>
        {steps.map((step, i) => (
          <li key={step.name} className="flex items-center gap-2 whitespace-nowrap">
            {i > 0 && (
              <span aria-hidden="true" className="text-soft">
                →
              </span>
            )}
            <span title={`${step.act} ${valuesText(step.inputs)}`}>{step.name}</span>
          </li>
        ))}
      </ol>
      {!isBuiltIn && (
        <p className="mt-2 text-xs text-soft">
          <Time at={changedAt} /> by {changedBy}
        </p>
      )}
    </Panel>
  );
}

function Runs() {
  const { data: runs, error, refetch } = useQuery(runbookQueries.runs());
  if (error !== null) return <ProblemNote error={error} onRetry={() => void refetch()} />;
  if (runs === undefined) return null;
  return (
    <Panel title="Past and present" isFlush>
      {runs.length === 0 ? (
        <Empty command="aether runbook run retire-node node=NODE --dry-run">Nothing was run yet.</Empty>
      ) : (
        <Table label="Runs" head={["started", "runbook", "with", "state", "steps", "by"]}>
          {runs.map((run) => (
            <Row key={run.id}>
              <Cell>
                <RunLink id={run.id}>
                  <Time at={run.startedAt} />
                </RunLink>
              </Cell>
              <Cell>{run.runbook}</Cell>
              <Cell className="font-mono text-xs wrap-anywhere">{valuesText(run.parameters)}</Cell>
              <Cell>
                <RunBadge state={run.state} />
              </Cell>
              <Cell className="nums whitespace-nowrap">
                {run.steps.filter(({ endedAt }) => endedAt !== undefined).length} of {run.steps.length}
              </Cell>
              <Cell>{run.startedBy}</Cell>
            </Row>
          ))}
        </Table>
      )}
    </Panel>
  );
}
