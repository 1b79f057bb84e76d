// One run: its steps as they come to be, the word that it waits for, and what becomes of it when it is cancelled.
import { type RunbookRun, RunState, type RunStep, RunStepState } from "@aether/contract/gen/aether/v2/runbook_pb";
import { useQuery } from "@tanstack/react-query";
import { useParams } from "@tanstack/react-router";
import { useState } from "react";
import { runbookApi, runbookQueries } from "../api/runbooks.ts";
import { useAct } from "../app/act.ts";
import { For, useMay } from "../app/caller.tsx";
import { Happened } from "../event/happened.tsx";
import { msOf } from "../format/time.ts";
import { duration } from "../format/units.ts";
import { Button } from "../ui/button.tsx";
import { Dialog } from "../ui/dialog.tsx";
import { Facts } from "../ui/facts.tsx";
import { TextField } from "../ui/fields.tsx";
import { RunbookLink, SubjectLink } from "../ui/links.tsx";
import { useNow } from "../ui/now.ts";
import { Page } from "../ui/page.tsx";
import { Panel } from "../ui/panel.tsx";
import { ProblemNote } from "../ui/problem.tsx";
import { Time } from "../ui/time.tsx";
import { RunBadge, StepBadge, valuesText } from "./states.tsx";

export function RunPage() {
  const { id } = useParams({ from: "/runbooks/runs/$id" });
  const { data: run, error, refetch } = useQuery(runbookQueries.run(id));
  if (run === undefined) return <Page title="Run">{error !== null && <ProblemNote error={error} onRetry={() => void refetch()} />}</Page>;
  const waiting = run.steps.find(({ state, confirmedAt }) => state === RunStepState.WAITING && confirmedAt === undefined);
  const isOpen = run.state === RunState.RUNNING || run.state === RunState.WAITING;
  return (
    <Page
      title={`Run of ${run.runbook}`}
      heading={
        <span className="flex flex-wrap items-center gap-2">
          <RunbookLink name={run.runbook} version={String(run.version)} /> <RunBadge state={run.state} />
        </span>
      }
      aside={
        isOpen &&
        !run.isCancelRequested && (
          <For as="operator">
            <Cancel run={run} />
          </For>
        )
      }
    >
      <div className="grid gap-4">
        {waiting !== undefined && !run.isCancelRequested && <Confirm run={run} step={waiting} />}
        {run.error !== undefined && run.state === RunState.FAILED && (
          <div role="alert" className="rounded-lg border border-bad/40 bg-bad-ground px-4 py-3 text-bad">
            <p className="wrap-anywhere">{run.error.message}</p>
            <p className="text-sm">{run.error.hint}</p>
          </div>
        )}
        <Panel title="Steps" isFlush>
          <ol>
            {run.steps.map((step) => (
              <Step key={step.name} step={step} />
            ))}
          </ol>
        </Panel>
        <div className="grid items-start gap-4 lg:grid-cols-2">
          <Panel title="The run">
            <Facts
              facts={[
                ["with", valuesText(run.parameters) || "no parameters"],
                ["version", run.version],
                [
                  "started",
                  <>
                    <Time at={run.startedAt} /> by {run.startedBy}
                  </>,
                ],
                run.alert !== "" && ["for the alert", <code className="font-mono text-xs wrap-anywhere">{run.alert}</code>],
                run.endedAt !== undefined && ["ended", <Time at={run.endedAt} />],
                run.cancelledBy !== "" && ["cancelled by", run.cancelledBy],
                ["trace", <code className="font-mono text-xs">{run.traceId}</code>],
                ["as a command", <code className="font-mono text-xs">aether runbook watch {run.id}</code>],
              ]}
            />
          </Panel>
          <Happened subject={`runbook-run/${run.id}`} />
        </div>
      </div>
    </Page>
  );
}

/** Said elsewhere, or fine print: the whole is in the record. */
const left = new Set(["message", "attempts", "mode", "at_least", "max_age_seconds", "by", "other_person"]);

function Step({ step }: { step: RunStep }) {
  const { name, act, inputs, state, startedAt, endedAt, detail, made, confirmedBy, confirmedAt } = step;
  return (
    <li className="grid grid-cols-[6.5rem_minmax(0,1fr)_auto] items-baseline gap-x-3 border-t border-line px-4 py-2 first:border-t-0">
      <span>
        <StepBadge state={state} />
      </span>
      <div className="min-w-0">
        <p>
          <span className="font-medium">{name}</span>{" "}
          <span className="text-xs wrap-anywhere text-soft">
            {act} {valuesText(Object.fromEntries(Object.entries(inputs).filter(([key, value]) => value !== "" && !left.has(key))))}
          </span>
        </p>
        {detail !== "" && <p className={`wrap-anywhere ${state === RunStepState.FAILED ? "text-bad" : "text-soft"}`}>{detail}</p>}
        {made.length > 0 && (
          <p className="flex flex-wrap gap-x-3">
            {made.map((subject) => (
              <SubjectLink key={subject} subject={subject} />
            ))}
          </p>
        )}
        {confirmedAt !== undefined && (
          <p className="text-xs text-soft">
            {confirmedBy}, <Time at={confirmedAt} />
          </p>
        )}
      </div>
      <span className="nums text-xs whitespace-nowrap text-soft">
        <Took startedMs={msOf(startedAt)} endedMs={msOf(endedAt)} />
      </span>
    </li>
  );
}

function Took({ startedMs, endedMs }: { startedMs: number | undefined; endedMs: number | undefined }) {
  const nowMs = useNow();
  if (startedMs === undefined) return null;
  return duration(Math.max(0, (endedMs ?? nowMs) - startedMs));
}

function Confirm({ run, step }: { run: RunbookRun; step: RunStep }) {
  const [note, setNote] = useState("");
  const mayConfirm = useMay(step.inputs.by === "admin" ? "admin" : "operator");
  const say = useAct((isRefused: boolean) => runbookApi.confirmRunbookRun({ id: run.id, step: step.name, isRefused, note: note.trim() }), {
    touches: ["runbook-run"],
  });
  return (
    <section aria-label="Waits for a person" className="rounded-lg border border-warn/40 bg-warn-ground px-4 py-3">
      <p className="font-medium wrap-anywhere">{step.detail}</p>
      <p className="text-sm text-soft">
        Until <Time at={step.deadlineAt} />, by {step.inputs.by === "admin" ? "an admin" : "an operator"}
        {step.inputs.other_person === "yes" && `, but not by ${run.startedBy}`}.
      </p>
      {mayConfirm && (
        <div className="mt-3 grid items-end gap-2 sm:grid-cols-[minmax(0,1fr)_auto_auto]">
          <TextField
            label="Note"
            note="Kept with the run."
            value={note}
            maxLength={1_000}
            autoComplete="off"
            onChange={(event) => setNote(event.target.value)}
          />
          <Button className="sm:mb-5" isBusy={say.isPending} onClick={() => say.mutate(true)}>
            No, stop here
          </Button>
          <Button className="sm:mb-5" tone="primary" isBusy={say.isPending} onClick={() => say.mutate(false)}>
            Confirm
          </Button>
        </div>
      )}
    </section>
  );
}

function Cancel({ run }: { run: RunbookRun }) {
  const [isAsking, setAsking] = useState(false);
  const cancel = useAct((undo: boolean) => runbookApi.cancelRunbookRun({ id: run.id, undo }), {
    touches: ["runbook-run"],
    onDone: () => setAsking(false),
  });
  return (
    <>
      <Button onClick={() => setAsking(true)}>Cancel…</Button>
      {isAsking && (
        <Dialog title={`Cancel ${run.runbook}?`} onClose={() => setAsking(false)}>
          <p>
            No further step begins. What the step under way has begun, moves or a drill, comes to its own end. Cordons and the kill switch
            that this run has set can be taken back.
          </p>
          <div className="mt-4 flex flex-wrap justify-end gap-2">
            <Button onClick={() => setAsking(false)}>Not now</Button>
            <Button tone="danger" isBusy={cancel.isPending} onClick={() => cancel.mutate(false)}>
              Cancel it
            </Button>
            <Button tone="danger" isBusy={cancel.isPending} onClick={() => cancel.mutate(true)}>
              Cancel and take back
            </Button>
          </div>
        </Dialog>
      )}
    </>
  );
}
