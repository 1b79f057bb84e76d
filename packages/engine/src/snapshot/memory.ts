// How a snapshot gets its memory: copied ahead by the tracker that stays with the workload, or read by criu inside the stop; and what may not be begun.
import { Fault } from "@aether/contract";
import type { Progress, SnapshotLimits } from "../engine.ts";
import type { Host } from "../host.ts";
import type { KeptMemory } from "../memory/keep.ts";
import { type Abilities, stopAndCopyMaxBytes } from "../memory/mode.ts";
import { untrackable } from "../memory/pins.ts";
import type { WorkloadRecord } from "../record.ts";
import { pidsOf } from "../runtime/cgroup.ts";
import { residentBytes } from "../runtime/process.ts";
import { phase } from "../steps/journal.ts";
import { expectWhole, overBudget, type WholeDump } from "./budget.ts";
import type { Standing, Turn } from "./standing.ts";

/** Undefined `ahead`: criu reads all of it inside the stop. */
export interface SnapshotMemory {
  readonly ahead: { readonly kept: KeptMemory; readonly turn: Turn } | undefined;
  /** Why all memory is read; empty: only what was written since the snapshot before. */
  readonly wholeBecause: string;
}

export interface MemoryCopier {
  /** Copies ahead where that shortens the stop. Throws SNAPSHOT_OVER_BUDGET where neither way keeps to the limit. */
  copy(record: WorkloadRecord, limits: SnapshotLimits, progress: Progress, signal: AbortSignal): Promise<SnapshotMemory>;
  /** How long a dump of all memory inside the stop took: better than any assumption. */
  took(workload: string, dump: WholeDump): void;
}

const mebibytes = (bytes: number): number => Math.round(bytes / 2 ** 20);

export function createMemoryCopier(host: Host, standing: Standing, abilities: () => Abilities): MemoryCopier {
  const wholes = new Map<string, WholeDump>();

  return {
    took: (workload, dump) => void wholes.set(workload, dump),
    async copy(record, { maxFreezeMs }, progress, signal) {
      const { name } = record.spec;
      const pids = await pidsOf(host, name);
      const memoryBytes = await residentBytes(pids);
      const { costs, noTracking } = abilities();
      let why = noTracking === "" ? await untrackable(pids, !host.criuReadsHeld) : `memory cannot be tracked here: ${noTracking}`;
      if (why === undefined && memoryBytes <= stopAndCopyMaxBytes)
        why = `it has ${mebibytes(memoryBytes)} MiB of memory, which are read inside the stop`;
      if (why === undefined) {
        let turn: Turn | undefined;
        try {
          const taken = await standing.take(record, signal);
          turn = taken;
          const kept = await phase(progress, "snapshot.memory", () => taken.keeping.ahead(costs, progress, signal));
          const { freezeMs, freezeBytes } = kept.report.forecast;
          if (maxFreezeMs === undefined || freezeMs <= maxFreezeMs) return { ahead: { kept, turn }, wholeBecause: turn.wholeBecause };
          standing.leave(name, turn);
          throw overBudget(name, freezeMs, maxFreezeMs, `${mebibytes(freezeBytes)} MiB are written too fast to be copied before`);
        } catch (caught) {
          const problem = Fault.from(caught);
          if (problem.code === "SNAPSHOT_OVER_BUDGET") throw problem;
          if (turn !== undefined) standing.drop(name, turn, `tracking ended: ${problem.message}`);
          signal.throwIfAborted();
          host.options.log.warn({ workload: name, err: caught }, "snapshot.not_ahead");
          why = problem.message;
        }
      } else standing.end(name, why);
      const expectedMs = expectWhole(memoryBytes, costs.fixedMs, wholes.get(name));
      if (maxFreezeMs === undefined || expectedMs <= maxFreezeMs) return { ahead: undefined, wholeBecause: why };
      wholes.delete(name); // a measurement that refuses must not do so for ever: the next attempt goes by the assumption again
      throw overBudget(name, expectedMs, maxFreezeMs, `all of its ${mebibytes(memoryBytes)} MiB travel inside it: ${why}`);
    },
  };
}
