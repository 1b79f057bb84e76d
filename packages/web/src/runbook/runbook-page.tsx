// One runbook at an address of its own: what it asks for, its steps with all that they are given, each version of it, and its runs.
import { type RunbookParameter, type RunbookStep, StepFailure } from "@aether/contract/gen/aether/v2/runbook_pb";
import { useQuery } from "@tanstack/react-query";
import { Link, useParams, useSearch } from "@tanstack/react-router";
import { lazy, Suspense, useState } from "react";
import { runbookApi, runbookQueries } from "../api/runbooks.ts";
import { For } from "../app/caller.tsx";
import { duration, plural } from "../format/units.ts";
import { Badge } from "../ui/badge.tsx";
import { Button, buttonLook, primaryLook } from "../ui/button.tsx";
import { Empty } from "../ui/empty.tsx";
import { Panel } from "../ui/panel.tsx";
import { Cell, Row, Table } from "../ui/table.tsx";
import { DeleteVersioned } from "../versions/delete.tsx";
import { VersionList } from "../versions/list.tsx";
import { VersionedThing } from "../versions/page.tsx";
import { RunTable } from "./run-table.tsx";

const Editor = lazy(() => import("./editor.tsx"));

export function RunbookPage() {
  const { name } = useParams({ from: "/runbooks/$name" });
  const { version } = useSearch({ from: "/runbooks/$name" });
  const current = useQuery(runbookQueries.one(name));
  const versions = useQuery(runbookQueries.versions(name));
  const runs = useQuery(runbookQueries.runs(name));
  const [open, setOpen] = useState<"change" | "copy" | "delete">();
  const close = () => setOpen(undefined);
  return (
    <VersionedThing
      what="runbook"
      name={name}
      page="/runbooks/$name"
      wanted={version}
      current={current}
      versions={versions}
      others={[runs]}
      notFound="RUNBOOK_NOT_FOUND"
      badge={({ isBuiltIn }) => (isBuiltIn ? <Badge>built in</Badge> : undefined)}
      about={({ description }) => <span className="wrap-anywhere">{description}</span>}
      aside={({ inForce }) => (
        <>
          <For as="admin">
            {inForce !== undefined && !inForce.isBuiltIn && <Button onClick={() => setOpen("delete")}>Delete</Button>}
            <Button onClick={() => setOpen("copy")} title="A new runbook that begins as this one">
              Copy
            </Button>
            {inForce !== undefined && !inForce.isBuiltIn && <Button onClick={() => setOpen("change")}>Change</Button>}
          </For>
          {inForce !== undefined && (
            <For as="operator">
              <Link to="/runbooks" search={{ start: name }} className={`${buttonLook} ${primaryLook}`} aria-label={`Run ${name}`}>
                Run…
              </Link>
            </For>
          )}
        </>
      )}
    >
      {({ inForce, shown }) => (
        <>
          <div className="grid gap-4">
            <Panel title={plural(shown.steps.length, "step")} isFlush>
              <ol>
                {shown.steps.map((step, i) => (
                  <Step key={step.name} step={step} number={i + 1} />
                ))}
              </ol>
            </Panel>
            <div className="grid items-start gap-4 lg:grid-cols-2">
              {shown.parameters.length > 0 && <Parameters parameters={shown.parameters} />}
              {!shown.isBuiltIn && (
                <VersionList
                  name={name}
                  page="/runbooks/$name"
                  versions={versions.data ?? []}
                  shown={shown.version}
                  head="steps"
                  says={({ steps }) => <span className="text-soft">{steps.map((step) => step.name).join(" → ")}</span>}
                />
              )}
            </div>
            <Panel title="Runs" isFlush>
              {runs.data === undefined || runs.data.length === 0 ? (
                <Empty command={`aether runbook run ${name} --dry-run`}>It was not run yet.</Empty>
              ) : (
                <RunTable runs={runs.data} isOfOne />
              )}
            </Panel>
          </div>
          {(open === "change" || open === "copy") && (
            <Suspense>
              <Editor runbook={open === "change" ? inForce : undefined} from={shown} onClose={close} />
            </Suspense>
          )}
          {open === "delete" && <Delete name={name} onClose={close} />}
        </>
      )}
    </VersionedThing>
  );
}

function Step({ step: { name, act, inputs, onFailure, timeoutSeconds }, number }: { step: RunbookStep; number: number }) {
  const values = Object.entries(inputs).sort(([a], [b]) => (a < b ? -1 : 1));
  const ends = [
    onFailure === StepFailure.CONTINUE && "a failure lets the run go on",
    onFailure === StepFailure.UNDO && "a failure takes back what was set",
    timeoutSeconds > 0 && `has failed after ${duration(timeoutSeconds * 1000)}`,
  ].filter((each) => each !== false);
  return (
    <li className="grid grid-cols-[1.5rem_minmax(0,1fr)] items-baseline gap-x-2 gap-y-1 border-t border-line px-4 py-2 first:border-t-0 md:grid-cols-[1.5rem_14rem_minmax(0,1fr)]">
      <span className="nums text-soft">{number}</span>
      <span>
        <span className="font-medium">{name}</span> <code className="font-mono text-soft">{act}</code>
      </span>
      <div className="col-start-2 min-w-0 md:col-start-3">
        {values.length > 0 && (
          <p className="flex flex-wrap gap-x-4">
            {values.map(([key, value]) => (
              <span key={key} className="wrap-anywhere">
                <span className="text-soft">{key.replaceAll("_", " ")}:</span> {value}
              </span>
            ))}
          </p>
        )}
        {ends.length > 0 && <p className="text-xs text-soft">{ends.join("; ")}</p>}
      </div>
    </li>
  );
}

function Parameters({ parameters }: { parameters: readonly RunbookParameter[] }) {
  return (
    <Panel title="What it asks for" isFlush>
      <Table label="Parameters" head={["name", "kind", "else", "what it is"]}>
        {parameters.map(({ name, type, choices, defaultValue, description }) => (
          <Row key={name}>
            <Cell className="font-mono text-xs">{name}</Cell>
            <Cell className="break-words">{type === "choice" ? choices.join(", ") : type}</Cell>
            <Cell className="break-words">
              {defaultValue === undefined ? <span className="text-soft">must be given</span> : defaultValue || "none"}
            </Cell>
            <Cell className="min-w-32 wrap-anywhere text-soft">{description || "—"}</Cell>
          </Row>
        ))}
      </Table>
    </Panel>
  );
}

const Delete = ({ name, onClose }: { name: string; onClose: () => void }) => (
  <DeleteVersioned
    what="runbook"
    name={name}
    remove={() => runbookApi.deleteRunbook({ name })}
    touches={["runbook"]}
    stays="Its versions and runs stay readable."
    list="/runbooks"
    onClose={onClose}
  >
    It cannot be run any more. Runs under way go on to their end.
  </DeleteVersioned>
);
