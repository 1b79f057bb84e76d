// The beginning of a run: its parameters, and what each step would do. Nothing begins before one has seen that.
import type { PreviewRunbookResponse, Runbook, RunbookParameter } from "@aether/contract/gen/aether/v2/runbook_pb";
import { useMutation, useQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import { problemOf } from "../api/problem.ts";
import { queries } from "../api/queries.ts";
import { runbookApi } from "../api/runbooks.ts";
import { useAct } from "../app/act.ts";
import { Button } from "../ui/button.tsx";
import { Dialog } from "../ui/dialog.tsx";
import { SelectField, TextField } from "../ui/fields.tsx";

interface Props {
  readonly runbook: Runbook;
  /** What is known of its parameters already. */
  readonly given: Readonly<Record<string, string>>;
  readonly onClose: () => void;
}

export default function StartRun({ runbook, given, onClose }: Props) {
  const navigate = useNavigate();
  const [values, setValues] = useState<Readonly<Record<string, string>>>(() =>
    Object.fromEntries(runbook.parameters.map(({ name, defaultValue = "" }) => [name, given[name] ?? defaultValue])),
  );
  const request = { name: runbook.name, parameters: { ...values } };
  const preview = useMutation({ mutationFn: () => runbookApi.previewRunbook(request) });
  const begin = useAct(() => runbookApi.runRunbook({ ...request, version: runbook.version }), {
    touches: ["runbook-run"],
    onDone: ({ run }) => run !== undefined && void navigate({ to: "/runbooks/runs/$id", params: { id: run.id } }),
  });
  const problem = preview.error === null ? undefined : problemOf(preview.error);
  const write = (name: string, value: string) => {
    preview.reset();
    setValues((before) => ({ ...before, [name]: value }));
  };
  return (
    <Dialog title={`Run ${runbook.name}`} onClose={onClose}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          if (preview.data === undefined) preview.mutate();
          else begin.mutate(undefined);
        }}
      >
        <div className="-mx-2 grid max-h-[65dvh] gap-3 overflow-y-auto px-2 pb-1">
          <p className="text-soft">{runbook.description}</p>
          {runbook.parameters.map((parameter) => (
            <ParameterField
              key={parameter.name}
              parameter={parameter}
              value={values[parameter.name] ?? ""}
              problem={problem?.field === `parameters.${parameter.name}` ? problem.message : undefined}
              onChange={(value) => write(parameter.name, value)}
            />
          ))}
          {problem !== undefined && !problem.field?.startsWith("parameters.") && (
            <p role="alert" className="text-bad">
              {problem.message}
            </p>
          )}
          {preview.data !== undefined && <Foreseen preview={preview.data} />}
        </div>
        <div className="mt-4 flex justify-end gap-2">
          <Button onClick={onClose}>Not now</Button>
          {preview.data === undefined ? (
            <Button tone="primary" type="submit" isBusy={preview.isPending}>
              What it would do
            </Button>
          ) : (
            <Button tone="primary" type="submit" isBusy={begin.isPending} disabled={preview.data.steps.some(({ isAllowed }) => !isAllowed)}>
              Run it
            </Button>
          )}
        </div>
      </form>
    </Dialog>
  );
}

interface FieldProps {
  readonly parameter: RunbookParameter;
  readonly value: string;
  readonly problem: string | undefined;
  readonly onChange: (value: string) => void;
}

function ParameterField({ parameter: { name, type, description, defaultValue, choices }, value, problem, onChange }: FieldProps) {
  const { data: nodes = [] } = useQuery({ ...queries.nodes(), enabled: type === "node" });
  const { data: workloads = [] } = useQuery({ ...queries.workloads(), enabled: type === "workload" });
  const label = name.replaceAll("_", " ");
  const isRequired = defaultValue === undefined;
  const options =
    type === "node"
      ? nodes.map(({ id }) => id)
      : type === "workload"
        ? workloads.map(({ spec }) => spec?.name ?? "")
        : type === "choice"
          ? choices
          : undefined;
  if (options === undefined)
    return (
      <TextField
        label={label}
        note={description}
        problem={problem}
        value={value}
        type={type === "number" ? "number" : "text"}
        onChange={(event) => onChange(event.target.value)}
        required={isRequired}
        autoComplete="off"
      />
    );
  return (
    <SelectField
      label={label}
      note={problem ?? description}
      value={value}
      onChange={(event) => onChange(event.target.value)}
      required={isRequired}
    >
      {(isRequired ? value === "" : defaultValue === "") && <option value="">{isRequired ? "choose one" : "none"}</option>}
      {value !== "" && !options.includes(value) && <option>{value}</option>}
      {options.map((option) => (
        <option key={option}>{option}</option>
      ))}
    </SelectField>
  );
}

function Foreseen({ preview: { steps, isStartable } }: { preview: PreviewRunbookResponse }) {
  return (
    <section aria-label="What it would do" aria-live="polite" className="grid gap-2">
      <p className="font-medium">
        {isStartable ? "As things stand now:" : "As things stand now, its first step has something in the way:"}
      </p>
      <ol className="grid gap-1.5">
        {steps.map((step) => (
          <li key={step.name} className="border-l-2 border-line pl-3">
            <span className="font-medium">{step.name}</span>: <span className="wrap-anywhere">{step.would}</span>
            {step.effects.map((effect) => (
              <span key={effect} className="block text-xs wrap-anywhere text-soft">
                {effect}
              </span>
            ))}
            {step.problems.map((each) => (
              <span key={each} className="block text-xs wrap-anywhere text-warn">
                in the way now: {each}
              </span>
            ))}
            {!step.isAllowed && <span className="block text-xs text-bad">your role does not allow it</span>}
          </li>
        ))}
      </ol>
    </section>
  );
}
