// What can be run, and what was. Which one is to be begun is in the URL, so that a link can ask for it.
import type { Runbook } from "@aether/contract/gen/aether/v2/runbook_pb";
import { useQuery } from "@tanstack/react-query";
import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { lazy, Suspense, useState } from "react";
import { runbookQueries } from "../api/runbooks.ts";
import { For, useMay } from "../app/caller.tsx";
import { Badge } from "../ui/badge.tsx";
import { Button, buttonLook, plainLook } from "../ui/button.tsx";
import { Empty } from "../ui/empty.tsx";
import { RunbookLink } from "../ui/links.tsx";
import { Page } from "../ui/page.tsx";
import { Panel } from "../ui/panel.tsx";
import { ProblemNote } from "../ui/problem.tsx";
import { Tabs } from "../ui/tabs.tsx";
import { Time } from "../ui/time.tsx";
import { RunTable } from "./run-table.tsx";
import { valuesText } from "./states.tsx";

const StartRun = lazy(() => import("./start-run.tsx"));
const Editor = lazy(() => import("./editor.tsx"));

const tabs = [
  { id: "runbooks", title: "Runbooks" },
  { id: "runs", title: "Runs" },
];

export function RunbooksPage() {
  const { tab = "runbooks", start, node } = useSearch({ from: "/runbooks" });
  const navigate = useNavigate();
  const mayRun = useMay("operator");
  const { data: runbooks, error, refetch } = useQuery(runbookQueries.list());
  const [isWriting, setWriting] = useState(false);
  const chosen = mayRun ? runbooks?.find(({ name }) => name === start) : undefined;
  return (
    <Page
      title="Runbooks"
      about="Named steps that the control plane runs one after the other for whoever starts them: with that one's role, over its own restarts, nothing twice, and on record."
      aside={
        <For as="admin">
          <Button tone="primary" onClick={() => setWriting(true)}>
            New runbook
          </Button>
        </For>
      }
    >
      <Tabs tabs={tabs} current={tab} />
      {error !== null && <ProblemNote error={error} onRetry={() => void refetch()} />}
      {tab === "runs" ? (
        <Runs />
      ) : (
        <div className="grid gap-4 lg:grid-cols-2">
          {runbooks?.map((runbook) => (
            <RunbookPanel key={runbook.name} runbook={runbook} />
          ))}
        </div>
      )}
      {isWriting && (
        <Suspense>
          <Editor runbook={undefined} onClose={() => setWriting(false)} />
        </Suspense>
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
      title={<RunbookLink name={name} />}
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
        <RunTable runs={runs} />
      )}
    </Panel>
  );
}
