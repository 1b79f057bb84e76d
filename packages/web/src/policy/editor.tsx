// A policy as a form. Nothing is set before one has seen what would change for which workload.
import { MigrationMode } from "@aether/contract/gen/aether/v2/migration_pb";
import type { GetPolicyResponse, Policy, PreviewPolicyResponse } from "@aether/contract/gen/aether/v2/policy_pb";
import { OnNodeLost } from "@aether/contract/gen/aether/v2/workload_pb";
import { useMutation } from "@tanstack/react-query";
import { type ChangeEvent, useState } from "react";
import { Overtaken } from "../api/overtaken.ts";
import { policyApi, setPolicyFrom } from "../api/policies.ts";
import { problemOf } from "../api/problem.ts";
import { useAct } from "../app/act.ts";
import { words } from "../format/units.ts";
import { Button } from "../ui/button.tsx";
import { Dialog } from "../ui/dialog.tsx";
import { SelectField, TextField } from "../ui/fields.tsx";
import { WorkloadLink } from "../ui/links.tsx";
import { type Draft, draftOf, policyOf } from "./draft.ts";
import { OvertakenNote } from "./overtaken.tsx";
import { modeWords, parseSelector, parseWindows, settingName } from "./settings.ts";

const dayMs = 86_400_000;
const weekSeconds = 604_800;
const mostRank = 1_000_000;

interface Props {
  /** The one to change; undefined: a new one. */
  readonly policy: Policy | undefined;
  readonly taken: readonly string[];
  readonly onClose: () => void;
}

export default function PolicyEditor({ policy, taken, onClose }: Props) {
  /** What the form was begun from: it is set only while that is in force. */
  const [base, setBase] = useState(policy);
  const [draft, setDraft] = useState<Draft>(() => draftOf(policy));
  const given = policyOf(draft);
  const isTaken = base === undefined && policy === undefined && taken.includes(draft.name.trim());
  const preview = useMutation({ mutationFn: () => policyApi.previewPolicy({ policy: given ?? {} }) });
  const set = useAct(() => setPolicyFrom(base?.version ?? 0, given ?? {}), {
    touches: ["policy", "workload", "certificate"],
    done: ({ policy: made }) => `${made?.name ?? "It"} is in force, from the next decision on.`,
    onDone: onClose,
  });
  const write = (change: Partial<Draft>) => {
    preview.reset();
    set.reset();
    setDraft((before) => ({ ...before, ...change }));
  };
  const isChanged = JSON.stringify(draft) !== JSON.stringify(draftOf(policy));
  const title = policy === undefined ? "New policy" : `Change ${policy.name}`;
  if (set.error instanceof Overtaken) {
    const theirs = (set.error.theirs as GetPolicyResponse | undefined)?.policy;
    return (
      <Dialog title={`${draft.name.trim()} was changed meanwhile`} onClose={onClose} hasUnsaved>
        <OvertakenNote
          began={draftOf(base)}
          mine={draft}
          theirs={theirs}
          onGoOn={(next) => {
            setBase(theirs);
            write(next);
          }}
          onClose={onClose}
        />
      </Dialog>
    );
  }
  const failure = preview.error ?? set.error;
  const problem = failure === null ? undefined : problemOf(failure);
  // "policy.settings.windows[0].from" belongs to the field of the windows.
  const problemAt = (field: string) => (problem?.field?.split(/[.[]/).includes(field) === true ? problem.message : undefined);
  const text = (key: keyof Draft) => ({
    value: draft[key],
    onChange: (event: ChangeEvent<HTMLInputElement>) => write({ [key]: event.target.value }),
    autoComplete: "off",
  });
  const number = (key: keyof Draft, field: string, min: number, max: number) => ({
    ...text(key),
    type: "number",
    min,
    max,
    problem: problemAt(field),
  });
  return (
    <Dialog title={title} onClose={onClose} hasUnsaved={isChanged}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          if (preview.data === undefined) preview.mutate();
          else set.mutate(undefined);
        }}
      >
        <div className="-mx-2 grid max-h-[65dvh] gap-3 overflow-y-auto px-2 pb-1">
          {policy === undefined && (
            <TextField
              label="Name"
              {...text("name")}
              placeholder="databases"
              problem={isTaken ? "there is one of this name: change that one" : problemAt("name")}
              required
            />
          )}
          <TextField label="What it is for" {...text("description")} maxLength={1000} problem={problemAt("description")} />
          <div className="grid grid-cols-[minmax(0,1fr)_6rem] gap-3">
            <TextField
              label="Workloads with these labels"
              {...text("selector")}
              placeholder="app=db, tier=1"
              note="None of them: every workload."
              problem={
                parseSelector(draft.selector) === undefined ? "labels are written key=value, with commas between" : problemAt("selector")
              }
            />
            <TextField label="Rank" {...number("rank", "rank", -mostRank, mostRank)} note="Higher wins." required />
          </div>
          <p className="text-soft">What it sets. What is empty it leaves to others.</p>
          <div className="grid gap-3 sm:grid-cols-2">
            <TextField label="Longest freeze, ms" {...number("freezeMs", "max_freeze_ms", 0, dayMs)} note="0: no limit." />
            <TextField label="Safe within, ms" {...number("safeMs", "max_time_to_safe_ms", 0, dayMs)} note="0: the notice's own time." />
            <TextField
              label="A snapshot every, seconds"
              {...number("rpoSeconds", "rpo_seconds", 0, weekSeconds)}
              note="10 or more. 0: none by themselves."
            />
            <TextField label="Priority" {...number("priority", "priority", 0, 100)} note="The higher one leaves first." />
            <SelectField
              label="When its node is lost"
              value={draft.onNodeLost}
              onChange={(event) => write({ onNodeLost: Number(event.target.value) })}
            >
              {[OnNodeLost.UNSPECIFIED, OnNodeLost.HOLD, OnNodeLost.RESTORE].map((each) => (
                <option key={each} value={each}>
                  {each === OnNodeLost.UNSPECIFIED ? "not set" : words(OnNodeLost[each])}
                </option>
              ))}
            </SelectField>
            <SelectField label="Moved by" value={draft.mode} onChange={(event) => write({ mode: Number(event.target.value) })}>
              {modes.map((each) => (
                <option key={each} value={each}>
                  {each === MigrationMode.UNSPECIFIED ? "not set" : modeWords(each)}
                </option>
              ))}
            </SelectField>
            <TextField
              label="Held down to, % of one CPU"
              {...number("minCpuPercent", "min_cpu_percent", 0, 10_000)}
              note="While copied, if it outruns the link. 0: never."
            />
          </div>
          <TextField
            label="Windows, UTC"
            {...text("windows")}
            placeholder="sat,sun 22:00-04:00; 01:00-02:00"
            note="When moves may happen that nothing forces."
            problem={
              parseWindows(draft.windows) === undefined ? "a window is written sat,sun 22:00-04:00 or 01:00-02:00" : problemAt("windows")
            }
          />
          {problem !== undefined && (
            <p ref={intoView} role="alert" className="rounded-md bg-bad-ground px-3 py-2 break-words text-bad">
              {problem.message} {problem.hint}
            </p>
          )}
          {preview.data !== undefined && <Effects preview={preview.data} />}
        </div>
        <div className="mt-4 flex justify-end gap-2">
          <Button onClick={onClose}>Not now</Button>
          <Button
            tone="primary"
            type="submit"
            disabled={draft.name.trim() === "" || isTaken || given === undefined}
            isBusy={preview.isPending || set.isPending}
          >
            {preview.data === undefined ? "See what would change" : "Set it"}
          </Button>
        </div>
      </form>
    </Dialog>
  );
}

const modes = [
  MigrationMode.UNSPECIFIED,
  MigrationMode.AUTO,
  MigrationMode.PRE_COPY,
  MigrationMode.POST_COPY,
  MigrationMode.STOP_AND_COPY,
] as const;

const intoView = (element: HTMLElement | null) => element?.scrollIntoView({ block: "nearest" });
const mostShown = 30;

function Effects({ preview: { effects, warnings } }: { preview: PreviewPolicyResponse }) {
  return (
    <section ref={intoView} aria-label="What would change" className="grid gap-1 rounded-md bg-raised px-3 py-2">
      {warnings.map((warning) => (
        <p key={warning} className="break-words text-warn">
          {warning}
        </p>
      ))}
      {effects.length === 0 && <p>Nothing changes for any workload that there is now.</p>}
      {effects.slice(0, mostShown).map(({ workload, setting, before, after }) => (
        <p key={`${workload}/${setting}`} className="wrap-anywhere">
          <WorkloadLink name={workload} /> <span className="text-soft">{settingName(setting)}:</span> {before || "not set"} →{" "}
          {after || "not set"}
        </p>
      ))}
      {effects.length > mostShown && <p className="text-soft">and {effects.length - mostShown} more</p>}
    </section>
  );
}
