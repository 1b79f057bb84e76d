// What a step does to the record: pure, so that the same function is persisted by the journal and driven by the property tests.
import { fault } from "@aether/contract";
import { type CommandFact, isEnded, type MigrationRecord, type StepName } from "./state.ts";
import type { Step } from "./step-state.ts";

export interface Intent {
  readonly id: string;
  readonly step: StepName;
}

export interface Transition {
  readonly record: MigrationRecord;
  /** Commands to be written down with the record and sent after it. */
  readonly intents: readonly Intent[];
}

/** @param newId makes the id of each new command. */
export function transition(
  record: MigrationRecord,
  step: Extract<Step, { kind: "move" | "commit" }>,
  nowMs: number,
  newId: () => string,
): Transition {
  const intents = step.send.map((name) => ({ id: newId(), step: name }));
  if (step.kind === "commit") {
    if (record.committedAtMs !== undefined) throw fault("INTERNAL", `${record.id}: a second commit`);
    return { record: { ...record, state: "committed", stateAtMs: nowMs, committedAtMs: nowMs }, intents };
  }
  const isEntered = step.to !== record.state;
  return {
    record: {
      ...record,
      state: step.to,
      stateAtMs: isEntered ? nowMs : record.stateAtMs,
      resumedAtMs: isEntered && step.to === "resumed" ? nowMs : record.resumedAtMs,
      // From here on agents refuse whatever of the way forward is still on its way to them.
      fence: isEntered && step.to === "rolling_back" ? record.fence + 1 : record.fence,
      mode: step.mode ?? record.mode,
      error: step.error ?? record.error,
      debts: step.debts ?? record.debts,
      endedAtMs: isEnded(step.to) ? nowMs : record.endedAtMs,
    },
    intents,
  };
}

/** The facts as they are when the intents are on record. */
export const intendedAt = (intents: readonly Intent[], nowMs: number): CommandFact[] =>
  intents.map(({ id, step }) => ({ id, step, intendedAtMs: nowMs }));
