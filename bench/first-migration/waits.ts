// What a client in a closed loop waited for, told apart by the move: before the cut (memory is copied beside it), over the freeze, and in the seconds after the resume.
// Everything is on the wall clock of this one machine, as the phases of a move are.

/** From the request until its answer. */
export interface Wait {
  readonly atMs: number;
  readonly ms: number;
}

/** When it was asked for, when the workload was cut off, and when it ran again; ms since 1970. */
export interface MoveTimes {
  readonly askedMs: number;
  readonly cutMs: number;
  readonly resumedMs: number;
}

/** Stalls are looked for so long after the resume. */
export const watchedAfterMs = 5_000;
/** An answer that takes longer than this is a stall. */
export const stallMs = 50;

export interface SplitWaits {
  /** The longest of those that overlap the freeze, however long they began before it; NaN where none does, since the client is gone. */
  readonly gapMs: number;
  /** The longest that ended between the request for the move and the cut; 0 of none. */
  readonly beforeMs: number;
  readonly stallsBefore: number;
  /** Of those that began in the {@link watchedAfterMs} after the resume; the one that ends the freeze is not among them. */
  readonly worstAfterMs: number;
  readonly stallsAfter: number;
  readonly isAnsweredAfter: boolean;
}

export function splitWaits(waits: readonly Wait[], { askedMs, cutMs, resumedMs }: MoveTimes): SplitWaits {
  const endOf = ({ atMs, ms }: Wait) => atMs + ms;
  const before = waits.filter((wait) => endOf(wait) > askedMs && endOf(wait) <= cutMs);
  const over = waits.filter((wait) => wait.atMs < resumedMs && endOf(wait) > cutMs);
  const after = waits.filter(({ atMs }) => atMs >= resumedMs && atMs < resumedMs + watchedAfterMs);
  return {
    gapMs: over.length === 0 ? Number.NaN : longest(over),
    beforeMs: longest(before),
    stallsBefore: stalls(before),
    worstAfterMs: longest(after),
    stallsAfter: stalls(after),
    isAnsweredAfter: waits.some((wait) => endOf(wait) > resumedMs),
  };
}

const longest = (waits: readonly Wait[]) => waits.reduce((most, { ms }) => Math.max(most, ms), 0);
const stalls = (waits: readonly Wait[]) => waits.filter(({ ms }) => ms > stallMs).length;
