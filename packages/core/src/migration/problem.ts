// Why a step failed, and which of two failures is the reason of the other.
import type { CommandFact, Facts, MigrationRecord, Problem } from "./state.ts";
import { stateOf } from "./step-state.ts";
import { steps } from "./steps/index.ts";

/** What a side says that has only heard that the other one is gone. */
const isEcho = ({ code }: Problem): boolean => code === "TRANSFER_FAILED" || code === "CANCELLED" || code === "STEP_INTERRUPTED";

/** Of a freeze and a restore that failed together, the failure that is nobody's echo; undefined where there is none. */
export function rootCause(record: MigrationRecord, facts: Facts): Problem | undefined {
  for (const name of ["freeze", "restore"] as const) {
    const step = stateOf(facts, name);
    const problem = step.is === "bad" ? problemOf(step.command, `${name} on ${record[`${steps[name].side}NodeId`]}`) : undefined;
    if (problem !== undefined && !isEcho(problem)) return problem;
  }
  return undefined;
}

export function problemOf(command: CommandFact, what: string): Problem {
  const error = command.result?.error;
  if (error === undefined) {
    const code = command.outcome === "interrupted" ? "STEP_INTERRUPTED" : "INTERNAL";
    return { code, message: `${what}: ${command.outcome ?? "no outcome"}` };
  }
  return { code: error.code, message: `${what}: ${error.message}`, hint: error.hint, details: error.details };
}
