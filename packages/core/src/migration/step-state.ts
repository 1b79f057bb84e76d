// How the last attempt at a step stands, and what `next` may answer.
import { backoffMs } from "@aether/kit";
import type { CommandFact, Debt, Facts, Mode, Problem, State, StepName } from "./state.ts";
import { steps } from "./steps/index.ts";

export type Step =
  /** One transaction: the state, and the intents of the commands that leave after it. `to` may be the present state. */
  | {
      readonly kind: "move";
      readonly to: State;
      readonly send: readonly StepName[];
      readonly why: string;
      readonly mode?: Exclude<Mode, "auto">;
      readonly error?: Problem;
      readonly debts?: readonly Debt[];
    }
  /** One transaction: the placement to epoch E+1, the state to committed, the intent of RESUME. */
  | { readonly kind: "commit"; readonly send: readonly ["resume"]; readonly why: string }
  /** Nothing to do before something becomes known, or before this time. */
  | { readonly kind: "wait"; readonly untilMs: number; readonly for: string }
  | { readonly kind: "ended" };

export const wait = (untilMs: number, what: string): Step => ({ kind: "wait", untilMs, for: what });

export type StepState =
  | { readonly step: StepName; readonly is: "absent" }
  /** Written down, perhaps sent; no outcome yet. */
  | { readonly step: StepName; readonly is: "pending"; readonly sinceMs: number; readonly dueAtMs: number }
  | { readonly step: StepName; readonly is: "ok"; readonly command: CommandFact }
  | { readonly step: StepName; readonly is: "bad"; readonly command: CommandFact; readonly finishedAtMs: number };

type Present = Exclude<StepState, { is: "absent" }> & { readonly dueAtMs: number };

/** The last attempt at this step. `dueAtMs` is there for every attempt, for waits that need it. */
export function stateOf(facts: Facts, step: StepName): { readonly step: StepName; readonly is: "absent" } | Present {
  const command = facts.commands.findLast((each) => each.step === step);
  if (command === undefined) return { step, is: "absent" };
  const dueAtMs = command.intendedAtMs + steps[step].deadlineMs;
  if (command.outcome === undefined) return { step, is: "pending", sinceMs: command.intendedAtMs, dueAtMs };
  if (command.outcome === "ok") return { step, is: "ok", command, dueAtMs };
  return { step, is: "bad", command, finishedAtMs: command.finishedAtMs ?? command.intendedAtMs, dueAtMs };
}

/** The pause before the next attempt at a step that is repeated: 0.2 s, doubling, at most 5 s. No jitter: one caller, one node. */
export function retryPauseMs(facts: Facts, step: StepName): number {
  const attempts = facts.commands.filter((command) => command.step === step).length;
  return backoffMs({ firstMs: 200, maxMs: 5_000, jitter: 0 }, Math.max(0, attempts - 1));
}
