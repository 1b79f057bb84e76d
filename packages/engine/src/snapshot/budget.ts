// How long a snapshot would stop a workload, judged before it is stopped: pure.
import { type Fault, fault } from "@aether/contract";

/** One that was made: how long it took, with how much memory. */
export interface WholeDump {
  readonly freezeMs: number;
  readonly memoryBytes: number;
}

/** criu writes all memory into images in memory; assumed until one was made. */
const assumedBytesPerSecond = 400 * 2 ** 20;

/** With all memory inside the stop, ms. @param fixedMs of a checkpoint without memory; @param last the last one of the same workload */
export function expectWhole(memoryBytes: number, fixedMs: number, last: WholeDump | undefined): number {
  if (last !== undefined && last.memoryBytes > 0) return last.freezeMs * Math.max(1, memoryBytes / last.memoryBytes);
  return fixedMs + (memoryBytes / assumedBytesPerSecond) * 1000;
}

export const overBudget = (workload: string, expectedMs: number, maxFreezeMs: number, why: string): Fault =>
  fault(
    "SNAPSHOT_OVER_BUDGET",
    `a snapshot would stop ${workload} for about ${Math.round(expectedMs)} ms, and it allows ${Math.round(maxFreezeMs)} ms: ${why}`,
    { details: { expectedMs: expectedMs.toFixed(1), maxFreezeMs: String(maxFreezeMs) } },
  );
