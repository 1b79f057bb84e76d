// What finished moves measured: where the next prediction gets its numbers from. Pure.
import { agoOf } from "./words.ts";

/** One finished move. Times in ms, amounts in bytes. */
export interface Measured {
  readonly migrationId: string;
  readonly drillId: string | undefined;
  readonly atMs: number;
  readonly workload: string;
  readonly sourceNodeId: string;
  readonly targetNodeId: string;
  readonly mode: string;
  readonly memoryBytes: number;
  readonly fileBytes: number;
  /** What travelled inside the freeze. */
  readonly freezeBytes: number;
  readonly preflightMs: number;
  readonly prepareMs: number;
  readonly copyMs: number;
  readonly freezeMs: number;
  readonly timeToSafeMs: number;
  /** Over this pair's link; undefined where too little was sent to tell. */
  readonly bytesPerSecond: number | undefined;
  readonly predicted: Foretold | undefined;
  /** As foretold without calibration. */
  readonly raw: Foretold | undefined;
}

export interface Foretold {
  readonly freezeMs: number;
  readonly timeToSafeMs: number;
}

/** How far measured and foretold lie apart: measured / raw. 1 and wide where nothing was measured. */
export interface Spread {
  readonly count: number;
  readonly low: number;
  readonly median: number;
  readonly high: number;
}

/** Without any move to learn from, the truth may well be a third or three times of what the formula says. */
export const uncalibrated: Spread = { count: 0, low: 1 / 3, median: 1, high: 3 };

/** The value below which this share of them lies, linearly between neighbours (type 7 of Hyndman and Fan). NaN for none. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (sorted.length - 1) * share;
  const below = sorted[Math.floor(at)] ?? Number.NaN;
  const above = sorted[Math.ceil(at)] ?? below;
  return below + (above - below) * (at - Math.floor(at));
}

/**
 * The spread of the errors. Few moves say little about the tails: the range is widened by a factor that shrinks with their number
 * (2 for one move, 1.33 for three, 1.1 for ten).
 */
export function spreadOf(moves: readonly Measured[], of: keyof Foretold): Spread {
  const ratios = moves.flatMap((move) => {
    const raw = move.raw?.[of] ?? 0;
    const measured = move[of];
    return raw > 0 && measured > 0 ? [measured / raw] : [];
  });
  if (ratios.length === 0) return uncalibrated;
  const widen = 1 + 1 / ratios.length;
  const median = quantile(ratios, 0.5);
  return {
    count: ratios.length,
    low: Math.min(median, quantile(ratios, 0.1)) / widen,
    median,
    high: Math.max(median, quantile(ratios, 0.9)) * widen,
  };
}

/** The moves that say most about the next one of this workload: its own if there are any, else all. Newest first, at most 20. */
export function relevant(moves: readonly Measured[], workload: string): readonly Measured[] {
  const own = moves.filter((move) => move.workload === workload);
  return (own.length > 0 ? own : moves).slice(0, 20);
}

export interface Bandwidth {
  readonly bytesPerSecond: number;
  readonly basis: "measured" | "assumed";
  readonly detail: string;
  /** The last thing that was tried between the two, a probe, did not get through: how long ago. */
  readonly failedAgoMs?: number;
}

/** What the last short transfer between two nodes found. */
export interface Probed {
  /** Undefined: it did not get through. */
  readonly bytesPerSecond: number | undefined;
  readonly atMs: number;
}

/** 1 Gbit/s: what the smallest instances sustain. */
export const assumedBytesPerSecond = 125_000_000;

/** A move says more than a probe, which is short; but the way may be another one by the next day. */
const moveCountsMs = 86_400_000;

/** Of this pair as its moves of the last day measured it (their median), or as a probe did, or as older moves, or of the way back, or assumed. */
export function bandwidthOf(
  moves: readonly Measured[],
  source: string,
  target: string,
  { nowMs, probed }: { readonly nowMs: number; readonly probed?: Probed | undefined },
): Bandwidth {
  const ran = (from: string, to: string) =>
    moves.filter((move) => move.sourceNodeId === from && move.targetNodeId === to && move.bytesPerSecond !== undefined).slice(0, 5);
  const said = (found: readonly Measured[], where: string): Bandwidth => ({
    bytesPerSecond: quantile(
      found.flatMap((move) => move.bytesPerSecond ?? []),
      0.5,
    ),
    basis: "measured",
    detail: `${found.length === 1 ? "a move" : `${found.length} moves`} ${where}, the last ${agoOf(nowMs - (found[0]?.atMs ?? nowMs))}`,
  });
  const pair = ran(source, target);
  const lastMs = Math.max(
    Number.NEGATIVE_INFINITY,
    ...moves.filter((move) => move.sourceNodeId === source && move.targetNodeId === target).map(({ atMs }) => atMs),
  );
  const hasFailed = probed !== undefined && probed.bytesPerSecond === undefined && probed.atMs > lastMs;
  const failed = hasFailed ? { failedAgoMs: nowMs - probed.atMs } : {};
  const recent = pair.filter(({ atMs }) => nowMs - atMs <= moveCountsMs);
  if (recent.length > 0) return { ...said(recent, "between these nodes"), ...failed };
  if (probed?.bytesPerSecond !== undefined)
    return {
      bytesPerSecond: probed.bytesPerSecond,
      basis: "measured",
      detail: `a short transfer between these nodes, ${agoOf(nowMs - probed.atMs)}`,
    };
  if (pair.length > 0) return { ...said(pair, "between these nodes"), ...failed };
  const back = ran(target, source);
  if (back.length > 0) return { ...said(back, "between these nodes, the other way"), ...failed };
  return {
    bytesPerSecond: assumedBytesPerSecond,
    basis: "assumed",
    detail: "1 Gbit/s is assumed: nothing was sent between these nodes yet",
    ...failed,
  };
}
