// The size of each workload's writable layer, for whoever asks often: a walk over 100,000 files is not made every half minute for a number that only says
// how long a copy would take.

export interface LayerSizes {
  /** Bytes; of a walk that may be some minutes old. */
  of(workload: string): Promise<number>;
}

/** A walk is believed for this long, ms, */
const leastAgeMs = 120_000;
/** or for so many times what it took: then it takes less than a thousandth of a processor. */
const timesItsCost = 1000;

/** @param count walks it; @param nowMs a clock that only goes forward */
export function createLayerSizes(count: (workload: string) => Promise<number>, nowMs: () => number = () => performance.now()): LayerSizes {
  const known = new Map<string, { readonly bytes: number; readonly untilMs: number }>();
  return {
    async of(workload) {
      const before = known.get(workload);
      const beganMs = nowMs();
      if (before !== undefined && beganMs < before.untilMs) return before.bytes;
      const bytes = await count(workload);
      const endedMs = nowMs();
      for (const [name, { untilMs }] of known) if (endedMs > untilMs + leastAgeMs) known.delete(name); // of workloads that went
      known.set(workload, { bytes, untilMs: endedMs + Math.max(leastAgeMs, (endedMs - beganMs) * timesItsCost) });
      return bytes;
    },
  };
}
