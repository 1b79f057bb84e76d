// How often agents measure, so that what they say can be read and written: slower when it cannot, and back in steps when it can. Pure.

/** At most this long between two samples, ms. */
const slowestMs = 16_000;

export interface Load {
  readonly lost: number;
  /** Of the room for samples that wait to be written, 0 to 1. */
  readonly filled: number;
  /** Share of the time in which the process had something to do, 0 to 1. */
  readonly busy: number;
}

/** @param usualMs as configured. */
export function nextIntervalMs(nowMs: number, usualMs: number, { lost, filled, busy }: Load): number {
  if (lost > 0 || filled > 0.5 || busy > 0.97) return Math.max(usualMs, Math.min(slowestMs, nowMs * 2));
  // Only where twice as many would still leave room.
  return filled < 0.15 && busy < 0.9 ? Math.max(usualMs, nowMs / 2) : nowMs;
}
