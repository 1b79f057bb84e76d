// The size of each workload's writable layer, for whoever asks often: a walk over 100,000 files is not made every half minute for a number that only says
// how long a copy would take.

export interface LayerSize {
  readonly bytes: number;
  /** Entries. */
  readonly count: number;
}

export interface LayerSizes {
  /** Of a walk that may be some minutes old. */
  of(workload: string): Promise<LayerSize>;
}

/** A walk is believed for this long, ms, */
const leastAgeMs = 120_000;
/** or for so many times what it took: then it takes less than a thousandth of a processor. */
const timesItsCost = 1000;

/** @param count walks it; @param nowMs a clock that only goes forward */
export function createLayerSizes(
  count: (workload: string) => Promise<LayerSize>,
  nowMs: () => number = () => performance.now(),
): LayerSizes {
  const known = new Map<string, { readonly size: LayerSize; readonly untilMs: number }>();
  return {
    async of(workload) {
      const before = known.get(workload);
      const beganMs = nowMs();
      if (before !== undefined && beganMs < before.untilMs) return before.size;
      const size = await count(workload);
      const endedMs = nowMs();
      for (const [name, { untilMs }] of known) if (endedMs > untilMs + leastAgeMs) known.delete(name); // of workloads that went
      known.set(workload, { size, untilMs: endedMs + Math.max(leastAgeMs, (endedMs - beganMs) * timesItsCost) });
      return size;
    },
  };
}
