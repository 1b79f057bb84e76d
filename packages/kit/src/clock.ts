// Time as an argument: what decides takes a Clock, so that tests own it.

export interface Clock {
  /** Wall clock, ms since the epoch. For people and records, never for measuring. */
  nowMs(): number;
  /** Monotonic, ms with fractions, from an unspecified start. For measuring and deadlines. */
  monotonicMs(): number;
}

export const systemClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
};

/** A clock that moves only when told to. */
export function createManualClock(startMs = 1_750_000_000_000): Clock & { advance(ms: number): void } {
  let elapsedMs = 0;
  return {
    nowMs: () => startMs + elapsedMs,
    monotonicMs: () => elapsedMs,
    advance(ms) {
      elapsedMs += ms;
    },
  };
}
