// Runbooks and their runs for people.
import {
  type PreviewRunbookResponse,
  type Runbook,
  type RunbookAct,
  type RunbookRun,
  RunState,
  type RunStep,
  RunStepState,
} from "@aether/contract/gen/aether/v2/runbook_pb";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { renderFacts, renderTable } from "./table.ts";
import { ago, duration, instant, word } from "./units.ts";

const parametersText = ({ parameters }: Runbook): string =>
  parameters
    .map(({ name, type, defaultValue }) => (defaultValue === undefined ? `${name}=${type.toUpperCase()}` : `[${name}=${defaultValue}]`))
    .join(" ");

export const renderRunbooks = (runbooks: readonly Runbook[], width: number): string =>
  renderTable(
    runbooks,
    [
      { title: "NAME", cell: ({ name }) => name },
      { title: "VERSION", align: "right", cell: ({ version, isBuiltIn }) => (isBuiltIn ? "built in" : String(version)) },
      { title: "PARAMETERS", cell: parametersText },
      { title: "STEPS", cell: ({ steps }) => steps.map(({ name }) => name).join(", ") },
      { title: "WHAT", cell: ({ description }) => description },
    ],
    width,
    "There is no runbook.",
  );

export const renderVersions = (runbooks: readonly Runbook[], width: number): string =>
  renderTable(
    runbooks,
    [
      { title: "VERSION", align: "right", cell: ({ version }) => String(version) },
      { title: "STEPS", cell: ({ steps }) => steps.map(({ name }) => name).join(", ") },
      {
        title: "CHANGED",
        cell: ({ changedAt, changedBy, isBuiltIn }) => (isBuiltIn ? "built in" : `${instant(changedAt)} by ${changedBy}`),
      },
    ],
    width,
    "",
  );

export const renderRuns = (runs: readonly RunbookRun[], width: number, nowMs: number): string =>
  renderTable(
    runs,
    [
      { title: "RUN", cell: ({ id }) => id },
      { title: "RUNBOOK", cell: ({ runbook }) => runbook },
      { title: "WITH", cell: ({ parameters }) => valuesText(parameters) },
      { title: "STATE", cell: ({ state }) => word(RunState, state) },
      { title: "AT", cell: (run) => currentStep(run)?.name ?? "" },
      { title: "STARTED", cell: ({ startedAt }) => ago(startedAt, nowMs) },
      { title: "BY", cell: ({ startedBy, alert }) => `${startedBy}${alert === "" ? "" : " (alert)"}` },
    ],
    width,
    "Nothing was run yet. `aether runbook list` shows what there is.",
  );

export const renderActs = (acts: readonly RunbookAct[]): string =>
  acts
    .map(({ name, description, inputs }) =>
      [
        `${name}`,
        `  ${description}`,
        ...inputs.map(({ name: input, type, description: what, defaultValue, choices }) => {
          const standing = defaultValue === undefined ? "must be given" : defaultValue === "" ? "optional" : `default ${defaultValue}`;
          return `    ${input} (${choices.length > 0 ? choices.join("|") : type}): ${what}; ${standing}`;
        }),
      ].join("\n"),
    )
    .join("\n");

export const renderPreview = ({ steps, isStartable }: PreviewRunbookResponse): string =>
  [
    ...steps.flatMap(({ name, would, effects, problems, isAllowed }) => [
      `${problems.length === 0 && isAllowed ? "·" : "✗"} ${name}: ${would}`,
      ...effects.map((effect) => `    ${effect}`),
      ...problems.map((problem) => `    in the way now: ${problem}`),
      ...(isAllowed ? [] : ["    your role does not allow it"]),
    ]),
    isStartable ? "It could begin. Nothing was done." : "It could not go through as things stand. Nothing was done.",
  ].join("\n");

const valuesText = (values: Readonly<Record<string, string>>): string =>
  Object.entries(values)
    .map(([name, value]) => `${name}=${value}`)
    .sort()
    .join(" ");

/** The one that is under way, or that ended the run. */
export const currentStep = ({ steps }: RunbookRun): RunStep | undefined =>
  steps.find(({ state }) => state === RunStepState.RUNNING || state === RunStepState.WAITING) ??
  steps.find(({ state }) => state === RunStepState.FAILED);

const marks: Readonly<Record<number, string>> = {
  [RunStepState.DONE]: "✓",
  [RunStepState.FAILED]: "✗",
  [RunStepState.RUNNING]: "…",
  [RunStepState.WAITING]: "?",
  [RunStepState.UNDONE]: "↶",
  [RunStepState.CANCELLED]: "✗",
};

/** One line: mark, name, what it has come to, how long it took. */
export function stepLine(step: RunStep): string {
  const { state, name, detail, startedAt, endedAt, error } = step;
  const took = startedAt === undefined || endedAt === undefined ? "" : ` (${duration(timestampMs(endedAt) - timestampMs(startedAt))})`;
  const what =
    state === RunStepState.SKIPPED
      ? "not begun"
      : detail || error?.message || (state === RunStepState.PENDING ? "" : word(RunStepState, state));
  return `${marks[state] ?? "·"} ${name}${what === "" ? "" : `: ${what}`}${took}`;
}

export const describeRun = (run: RunbookRun): string =>
  [
    renderFacts([
      ["run", run.id],
      ["runbook", `${run.runbook}, version ${run.version}`],
      ["with", valuesText(run.parameters)],
      ["state", word(RunState, run.state)],
      ["started", `${instant(run.startedAt)} by ${run.startedBy}`],
      ["alert", run.alert],
      ["ended", run.endedAt && instant(run.endedAt)],
      ["cancelled by", run.cancelledBy],
    ]),
    ...run.steps.flatMap((step) => [`  ${stepLine(step)}`, ...step.made.map((each) => `      ${each}`)]),
  ].join("\n");
