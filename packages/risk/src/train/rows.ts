/**
 * Turns recorded pools into training rows: what was known at a moment, and when the capacity was lost afterwards. Everything in `readings` lies
 * at or before the moment; the label lies after it; no label is among the features.
 */
import type { PoolReadings } from "../assess/features.ts";
import type { Trace } from "../backtest/trace.ts";

export interface RecordedPool {
  readonly group: string;
  readonly trace: Trace;
  /** Unix seconds of tick 0. */
  readonly startSeconds: number;
  /** False where the source's clock has no known time zone: the hour of day is then missing. */
  readonly hasKnownClock: boolean;
  readonly onDemandUsdPerHour?: number;
}

export interface Row {
  readonly group: string;
  readonly pair: string;
  readonly atSeconds: number;
  readonly gapSeconds: number;
  readonly readings: PoolReadings;
  /** Last ten prices known at the moment, oldest first, for the rules. */
  readonly prices: readonly number[];
  /** Seconds until capacity was lost, at the middle of the tick in which it was; infinite if not before `censoredSeconds`. */
  readonly lossSeconds: number;
  /** Nothing is known from here on. */
  readonly censoredSeconds: number;
}

/** Seconds between two rows of one pool. */
const ROW_SECONDS = 600;
const HOUR = 3600;
const DAY = 86_400;
/** Share and price statistics of the last day need at least so much of it. */
const ENOUGH_SECONDS = 6 * HOUR;

/** Rows of every pool of one group; pools of a group are each other's neighbours. */
export function rowsOf(pools: readonly RecordedPool[]): Row[] {
  const lossTimes = pools.map((pool) => lossesOf(pool));
  return pools.flatMap((pool, i) =>
    rowsOfPool(
      pool,
      lossTimes[i] ?? [],
      lossTimes.filter((_, j) => j !== i),
    ),
  );
}

/** Unix seconds at which the pool was found to have lost its capacity. */
function lossesOf(pool: RecordedPool): number[] {
  const { available, probed, gapSeconds } = pool.trace;
  const times: number[] = [];
  for (let t = 1; t < available.length; t++) {
    if (available[t - 1] === 1 && available[t] === 0 && probed?.[t] !== 0) times.push(pool.startSeconds + t * gapSeconds);
  }
  return times;
}

function rowsOfPool(pool: RecordedPool, losses: readonly number[], neighbours: readonly (readonly number[])[]): Row[] {
  const { trace, startSeconds } = pool;
  const { available, gapSeconds } = trace;
  const stride = Math.max(1, Math.round(ROW_SECONDS / gapSeconds));
  const dayTicks = Math.round(DAY / gapSeconds);
  const upUntil = prefixSums(available);
  const firstGap = trace.probed === undefined ? [] : gapsOf(trace.probed);
  const rows: Row[] = [];
  let upSince = -1;
  for (let t = 0; t < available.length; t++) {
    if (available[t] !== 1) upSince = -1;
    else if (upSince < 0) upSince = t;
    if (available[t] !== 1 || t % stride !== 0) continue;
    const at = startSeconds + t * gapSeconds;
    const seenSeconds = t * gapSeconds;
    const from = Math.max(0, t - dayTicks);
    const end = endOfRun(available, t);
    const censorTick = Math.min(available.length, firstGap.find((gap) => gap > t) ?? Number.POSITIVE_INFINITY);
    const isLost = end < censorTick;
    const prices = trace.spotUsdPerHour?.subarray(from, t + 1);
    rows.push({
      group: pool.group,
      pair: trace.pair,
      atSeconds: at,
      gapSeconds,
      readings: {
        ageHours: ((t - upSince) * gapSeconds) / HOUR,
        ...(seenSeconds >= HOUR ? { lossesLastHour: countSince(losses, at, HOUR) } : {}),
        ...(seenSeconds >= ENOUGH_SECONDS
          ? { lossesLastDay: countSince(losses, at, DAY), shareLastDay: ((upUntil[t] ?? 0) - (upUntil[from] ?? 0)) / (t - from) }
          : {}),
        ...(neighbours.length > 0 && seenSeconds >= HOUR
          ? { neighbourLossesLastHour: neighbours.reduce((sum, times) => sum + countSince(times, at, HOUR), 0) / neighbours.length }
          : {}),
        ...(pool.hasKnownClock ? { hourOfDay: (at % DAY) / HOUR } : {}),
        ...priceReadings(prices, pool.onDemandUsdPerHour, seenSeconds),
      },
      prices: prices === undefined ? [] : [...prices.slice(-10)],
      lossSeconds: isLost ? (end - t - 0.5) * gapSeconds : Number.POSITIVE_INFINITY,
      censoredSeconds: (censorTick - t) * gapSeconds,
    });
  }
  return rows;
}

function priceReadings(prices: Float64Array | undefined, onDemandUsdPerHour: number | undefined, seenSeconds: number): PoolReadings {
  const last = prices?.at(-1);
  if (prices === undefined || last === undefined || onDemandUsdPerHour === undefined) return {};
  const level = { spotUsdPerHour: last, onDemandUsdPerHour };
  if (seenSeconds < ENOUGH_SECONDS) return level;
  const mean = prices.reduce((sum, x) => sum + x, 0) / prices.length;
  const variance = prices.reduce((sum, x) => sum + (x - mean) ** 2, 0) / prices.length;
  return { ...level, priceTrendLastDay: last / (prices[0] ?? last) - 1, priceVolatilityLastDay: Math.sqrt(variance) / mean };
}

/** Number of times in (at - span, at]. */
function countSince(times: readonly number[], at: number, span: number): number {
  let low = 0;
  let high = times.length;
  while (low < high) {
    const mid = (low + high) >> 1;
    if ((times[mid] as number) <= at) low = mid + 1;
    else high = mid;
  }
  let count = 0;
  for (let i = low - 1; i >= 0 && (times[i] as number) > at - span; i--) count++;
  return count;
}

function prefixSums(bits: Uint8Array): Float64Array {
  const sums = new Float64Array(bits.length + 1);
  for (let t = 0; t < bits.length; t++) sums[t + 1] = (sums[t] ?? 0) + (bits[t] ?? 0);
  return sums;
}

function gapsOf(probed: Uint8Array): number[] {
  const gaps: number[] = [];
  for (let t = 1; t < probed.length; t++) if (probed[t] === 0 && probed[t - 1] === 1) gaps.push(t);
  return gaps;
}

function endOfRun(available: Uint8Array, from: number): number {
  let t = from;
  while (t < available.length && available[t] === 1) t++;
  return t;
}
