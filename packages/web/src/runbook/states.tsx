// Runs and steps, each state with its word and its tone.
import { RunState, RunStepState } from "@aether/contract/gen/aether/v2/runbook_pb";
import { words } from "../format/units.ts";
import { Badge, type Tone } from "../ui/badge.tsx";

const runTones: Partial<Record<RunState, Tone>> = {
  [RunState.RUNNING]: "accent",
  [RunState.WAITING]: "warn",
  [RunState.UNDOING]: "warn",
  [RunState.DONE]: "good",
  [RunState.FAILED]: "bad",
  [RunState.CANCELLED]: "plain",
};

export const RunBadge = ({ state }: { state: RunState }) => (
  <Badge tone={runTones[state] ?? "plain"} isLive={state === RunState.RUNNING}>
    {state === RunState.WAITING ? "waits for a person" : state === RunState.UNDOING ? "taking back" : words(RunState[state])}
  </Badge>
);

const stepTones: Partial<Record<RunStepState, Tone>> = {
  [RunStepState.RUNNING]: "accent",
  [RunStepState.WAITING]: "warn",
  [RunStepState.DONE]: "good",
  [RunStepState.FAILED]: "bad",
};

export const StepBadge = ({ state }: { state: RunStepState }) => (
  <Badge tone={stepTones[state] ?? "plain"} isLive={state === RunStepState.RUNNING}>
    {state === RunStepState.SKIPPED ? "not begun" : state === RunStepState.UNDONE ? "taken back" : words(RunStepState[state])}
  </Badge>
);

/** "node=n1 window_seconds=120" */
export const valuesText = (values: Readonly<Record<string, string>>): string =>
  Object.entries(values)
    .map(([name, value]) => `${name}=${value}`)
    .sort()
    .join(" ");
