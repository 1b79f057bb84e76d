// When to stop copying, and what the freeze would cost: pure. The passes themselves are the tracker's (native/src/memory), which tells of each what it did.
import type { MemoryClasses } from "./classes.ts";

/** One pass over the written pages. Times in ms, on one clock. */
export interface Round {
  readonly number: number;
  readonly startedAtMs: number;
  readonly durationMs: number;
  /** Written since the pass before began; all present pages in pass 0. */
  readonly writtenPages: number;
  readonly sentPages: number;
  readonly zeroPages: number;
  readonly sentBytes: number;
  /** Of shared memory, read to find what was written. */
  readonly comparedPages?: number;
}

/** Why no further pass was made. */
export type CopyEnd = "converged" | "no-gain" | "deadline" | "failed";

export interface Costs {
  /** Of a freeze in which no memory travels: from cut to resume, ms. */
  readonly fixedMs: number;
  /** criu walks the page tables of all memory (smaps), however little it dumps. */
  readonly perGibibyteMs: number;
}

export interface Forecast {
  readonly freezeMs: number;
  readonly totalMs: number;
  readonly memoryBytes: number;
  readonly freezeBytes: number;
  readonly dirtyBytesPerSecond: number;
  readonly linkBytesPerSecond: number;
  readonly basis: string;
  readonly classes?: MemoryClasses;
}

/** All memory of a workload. */
export interface Holds {
  /** All that has to travel. */
  readonly memoryBytes: number;
  readonly classes: MemoryClasses;
}

export const pageBytes = 4096;
const gibibyte = 2 ** 30;

/** Little enough for the freeze: this much, or what the link carries in so many milliseconds. */
const enoughBytes = 2 << 20;
const enoughMs = 10;
/** A pass shorter than this says nothing of the link. */
const measurableBytes = 4 << 20;
const maxRounds = 60;
/** In a pass this long a workload has written whatever it writes again and again. */
const longMs = 500;
/** From the last pass while it runs to the last look when it is frozen, ms: the cut and the freezer. */
const gapMs = 20;

/** Bytes a second that went out over passes long enough to tell; undefined where none was. */
export function linkRate(rounds: readonly Round[]): number | undefined {
  const long = rounds.filter((round) => round.sentBytes >= measurableBytes && round.durationMs > 0);
  const bytes = long.reduce((sum, round) => sum + round.sentBytes, 0);
  const ms = long.reduce((sum, round) => sum + round.durationMs, 0);
  return ms > 0 ? (bytes / ms) * 1000 : undefined;
}

/** Bytes a second that the workload dirtied between the last two passes; undefined before there are two. */
export function dirtyRate(rounds: readonly Round[]): number | undefined {
  const last = rounds.at(-1);
  const before = rounds.at(-2);
  if (last === undefined || before === undefined) return undefined;
  const ms = Math.max(1, last.startedAtMs - before.startedAtMs);
  return (last.writtenPages * pageBytes * 1000) / ms;
}

/** Comparing a shared object with what was sent (240 ms of CPU a GiB, beside the dump) and putting it in place (470, by as many threads as there are cores, measured on two). */
const sharedPerGibibyteMs = 600;

/** What shared objects add to a freeze, ms. */
const sharedMs = ({ sharedBytes }: MemoryClasses): number => (sharedBytes / gibibyte) * sharedPerGibibyteMs;

const carriedBytes = ({ carried }: MemoryClasses): number => carried.reduce((sum, { bytes }) => sum + bytes, 0);

/** What only images can carry adds to a freeze, ms. */
export const carriedMs = ({ carried }: MemoryClasses): number => carried.reduce((sum, { freezeMs }) => sum + freezeMs, 0);

/** What copying ahead may take of the time that is left: where it does not work out, there must be enough to move otherwise. */
export const budgetOf = (timeLeftMs: number): number => timeLeftMs - Math.min(10_000, timeLeftMs * 0.2);

/**
 * What is written in so long by a workload that writes anywhere in its memory: what it writes again counts once. (Of n pages of which each write hits any, a share of
 * (1 - 1/n)^k, about exp(-k/n), is left after k writes.)
 */
const writtenIn = (ms: number, memoryBytes: number, dirtyBytesPerSecond: number): number =>
  memoryBytes === 0 ? 0 : memoryBytes * (1 - Math.exp(-(dirtyBytesPerSecond * ms) / 1000 / memoryBytes));

/** The passes as `judge` would have them, from the first one on. */
function expectedPasses(memoryBytes: number, dirtyBytesPerSecond: number, linkBytesPerSecond: number) {
  let copyMs = 0;
  let bytes = memoryBytes;
  for (let pass = 0; ; pass++) {
    const lastMs = (bytes / linkBytesPerSecond) * 1000;
    copyMs += lastMs;
    const next = writtenIn(lastMs, memoryBytes, dirtyBytesPerSecond);
    if (lastMs <= gapMs || next > bytes * 0.95 || pass === maxRounds) return { copyMs, lastMs };
    bytes = next;
  }
}

/** What a freeze now would cost, and the whole move. `assumed`: the rates where no pass has measured them yet. */
export function forecast(
  { memoryBytes, classes }: Holds,
  rounds: readonly Round[],
  costs: Costs,
  assumed: { readonly linkBytesPerSecond: number; readonly dirtyBytesPerSecond: number; readonly basis: string },
): Forecast {
  const link = linkRate(rounds) ?? assumed.linkBytesPerSecond;
  const dirty = dirtyRate(rounds) ?? assumed.dirtyBytesPerSecond;
  // A pass takes as long as its bytes: what is written meanwhile is the next one, and the freeze has the last. Below the gap it cannot fall.
  const isMeasured = rounds.length > 1;
  const expected = expectedPasses(memoryBytes, dirty, link);
  const settledMs = Math.max(gapMs, isMeasured ? (rounds.at(-1)?.durationMs ?? 0) : expected.lastMs);
  const carried = carriedBytes(classes);
  const written = isMeasured ? (dirty * settledMs) / 1000 : writtenIn(settledMs, memoryBytes, dirty);
  const dirtyBytes = Math.min(Math.max(0, memoryBytes - carried), written);
  const freezeMs =
    costs.fixedMs + (memoryBytes / gibibyte) * costs.perGibibyteMs + sharedMs(classes) + carriedMs(classes) + (dirtyBytes / link) * 1000;
  const copyMs = isMeasured ? 0 : Math.max(0, expected.copyMs - (rounds.length === 1 ? (memoryBytes / link) * 1000 : 0));
  return {
    freezeMs,
    totalMs: copyMs + freezeMs,
    memoryBytes,
    freezeBytes: dirtyBytes + carried,
    classes,
    dirtyBytesPerSecond: dirty,
    linkBytesPerSecond: link,
    basis:
      rounds.length > 1 ? `measured over pass ${rounds.length - 1}` : rounds.length === 1 ? "the link measured over pass 0" : assumed.basis,
  };
}

export interface Verdict {
  readonly again: boolean;
  readonly end?: CopyEnd;
  readonly detail?: string;
}

/** After a pass: is another one worth it? @param dueAtMs when the freeze must begin, on the rounds' clock. */
export function judge(rounds: readonly Round[], nowMs: number, dueAtMs: number | undefined): Verdict {
  const last = rounds.at(-1);
  if (last === undefined) return { again: true };
  const link = linkRate(rounds);
  if (rounds.length > 1 && last.sentBytes <= Math.max(enoughBytes, ((link ?? 0) * enoughMs) / 1000))
    return { again: false, end: "converged", detail: `${mebibytes(last.sentBytes)} MiB were left after pass ${last.number}` };
  const nextMs = Math.max(last.durationMs, 1);
  if (dueAtMs !== undefined && nowMs + nextMs > dueAtMs)
    return {
      again: false,
      end: "deadline",
      detail: `${Math.round(dueAtMs - nowMs)} ms are left, another pass takes ${Math.round(nextMs)} ms`,
    };
  // Short passes are noisy: the best of the last three against the best before them; of long ones the last one says enough. Pass 0 is all memory and compares with nothing.
  const least = (some: readonly Round[]) => Math.min(...some.map((round) => round.sentBytes));
  const isNoLess =
    (rounds.length > 4 && least(rounds.slice(-3)) > least(rounds.slice(1, -3)) * 0.95) ||
    (rounds.length > 2 && last.durationMs > longMs && last.sentBytes > least(rounds.slice(1, -1)) * 0.95);
  if (isNoLess || rounds.length >= maxRounds) {
    const dirty = dirtyRate(rounds) ?? 0;
    return {
      again: false,
      end: "no-gain",
      detail: `it writes ${mebibytes(dirty)} MiB a second, the link carries ${link === undefined ? "an unknown rate" : `${mebibytes(link)} MiB a second`}: ${mebibytes(last.sentBytes)} MiB stay`,
    };
  }
  return { again: true };
}

const mebibytes = (bytes: number): number => Math.round((bytes / 2 ** 20) * 10) / 10;
