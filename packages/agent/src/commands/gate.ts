// May this command begin? Pure: what the command says against what this node has seen.
import { type Fault, fault } from "@aether/contract";

export interface GateQuestion {
  readonly workload: string;
  readonly epoch: number;
  readonly migrationId: string;
  readonly fence: number;
  /** Of the leadership of who sends it; 0: it has its database for itself, and nobody can have taken over. */
  readonly term: number;
  /** Undefined: for ever. */
  readonly validForMs: number | undefined;
  /** Since this agent received it, on its monotonic clock: the agent's date never decides. */
  readonly waitedMs: number;
  /** Does it make something run or stop by the authority of a placement? Cleaning up after one named migration does not. */
  readonly isEpochBound: boolean;
}

export interface Seen {
  highestEpoch(workload: string): number;
  highestFence(migrationId: string): number;
  highestTerm(): number;
}

/** The reason why it must not begin: STALE_TERM, STALE_EPOCH, STALE_FENCE, COMMAND_EXPIRED; undefined when it may. */
export function refusalOf(question: GateQuestion, seen: Seen): Fault | undefined {
  const { workload, epoch, migrationId, fence, term, validForMs, waitedMs } = question;
  const highestTerm = seen.highestTerm();
  if (term !== 0 && term < highestTerm) return fault("STALE_TERM", `term ${term} is over, this node has seen ${highestTerm}`);
  const highestEpoch = seen.highestEpoch(workload);
  if (question.isEpochBound && epoch < highestEpoch) {
    return fault("STALE_EPOCH", `${workload}: epoch ${epoch} is over, this node has seen ${highestEpoch}`);
  }
  const highestFence = migrationId === "" ? 0 : seen.highestFence(migrationId);
  if (fence < highestFence) return fault("STALE_FENCE", `${migrationId}: fence ${fence} is over, this node has seen ${highestFence}`);
  if (validForMs !== undefined && waitedMs > validForMs) {
    return fault("COMMAND_EXPIRED", `the command was valid for ${validForMs} ms and waited ${Math.round(waitedMs)} ms`);
  }
  return undefined;
}
