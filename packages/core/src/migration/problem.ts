// Why a step failed, and which of two failures is the reason of the other.
import { type CommandFact, type Facts, type MigrationRecord, nodeOf, type Problem } from "./state.ts";
import { stateOf } from "./step-state.ts";
import { steps } from "./steps/index.ts";

/** What a side says that has only heard that the other one is gone. */
const isEcho = ({ code }: Problem): boolean => code === "TRANSFER_FAILED" || code === "CANCELLED" || code === "STEP_INTERRUPTED";
const together = ["freeze", "restore"] as const;

/**
 * Of a freeze and a restore that failed together, the failure that is nobody's echo; else the side whose agent went away meanwhile, which left no words of its own.
 * Undefined where neither is known.
 */
export function rootCause(record: MigrationRecord, facts: Facts): Problem | undefined {
  for (const name of together) {
    const step = stateOf(facts, name);
    const problem = step.is === "bad" ? problemOf(step.command, `${name} on ${nodeOf(record, steps[name].side)}`) : undefined;
    if (problem !== undefined && !isEcho(problem)) return problem;
  }
  for (const name of together) {
    const problem = agentGone(record, facts, name);
    if (problem !== undefined) return problem;
  }
  return undefined;
}

/** Is it what a later word may explain better? */
export const isUnexplained = ({ code }: Problem): boolean => code === "TRANSFER_FAILED" || code === "STEP_INTERRUPTED";

function agentGone(record: MigrationRecord, facts: Facts, name: (typeof together)[number]): Problem | undefined {
  const step = stateOf(facts, name);
  const { side } = steps[name];
  const node = nodeOf(record, side);
  const stays = `${record.workload} stays on ${record.sourceNodeId}`;
  if (step.is === "bad") {
    const problem = problemOf(step.command, `${name} on ${node}`);
    return problem.code === "STEP_INTERRUPTED" ? { ...problem, message: `${problem.message}; ${stays}` } : undefined;
  }
  const { isConnected, leftAtMs = Number.NEGATIVE_INFINITY } = facts[side];
  if (step.is !== "pending" || (isConnected && leftAtMs < step.sinceMs)) return undefined;
  const doing = side === "source" ? "frozen" : "restored";
  return {
    code: "NODE_NOT_CONNECTED",
    message: `the agent of ${node} ended, or was out of reach, while ${record.workload} was being ${doing} there; ${stays}`,
    hint: `The log of the agent on ${node} tells which. The move can be begun again when that node is connected.`,
  };
}

export function problemOf(command: CommandFact, what: string): Problem {
  const error = command.result?.error;
  if (error === undefined) {
    const code = command.outcome === "interrupted" ? "STEP_INTERRUPTED" : "INTERNAL";
    return { code, message: `${what}: ${command.outcome ?? "no outcome"}` };
  }
  return { code: error.code, message: `${what}: ${error.message}`, hint: error.hint, details: error.details };
}
