/**
 * Recorded prices as the markets that the backtester and the savings of a month run over. Prices are not capacity: a tick counts as there while a
 * price is in force at or below the most that would be paid (EC2 takes the instance when the price passes it; the on-demand price where
 * nobody says otherwise) and no instance of the pool was lost in it. What nobody recorded is not there.
 */
import type { Trace } from "../backtest/trace.ts";
import type { PricePoint } from "../savings/month.ts";
import { type PoolKey, type PriceBook, pricesAt } from "./price-book.ts";

export interface RecordedSpan {
  readonly fromMs: number;
  readonly toMs: number;
  readonly gapSeconds: number;
  /** When instances of the pool were lost, ms. */
  readonly losses: readonly number[];
  readonly mostUsdPerHour: number;
}

/** The whole ticks of a span as a market. */
export function recordedTrace(book: PriceBook, pool: PoolKey, { fromMs, toMs, gapSeconds, losses, mostUsdPerHour }: RecordedSpan): Trace {
  const gapMs = gapSeconds * 1000;
  const ticks = Math.max(0, Math.floor((toMs - fromMs) / gapMs));
  const prices = pricesAt(
    book.spot(pool),
    Array.from({ length: ticks }, (_, t) => fromMs + t * gapMs),
  );
  const firstUsd = prices.find(Number.isFinite) ?? mostUsdPerHour;
  const lost = new Set(losses.map((atMs) => Math.floor((atMs - fromMs) / gapMs)));
  const base = {
    pair: `${pool.zone}_${pool.instanceType}`,
    zone: pool.zone,
    gapSeconds,
    available: Uint8Array.from(prices, (usd, t) => (usd <= mostUsdPerHour && !lost.has(t) ? 1 : 0)),
    // Nothing is bought where there is no offer: a policy sees the first price before it, and the most that would be paid after it.
    spotUsdPerHour: prices.map((usd) => (Number.isFinite(usd) ? usd : Number.isNaN(usd) ? firstUsd : mostUsdPerHour)),
  };
  return prices.some(Number.isNaN) ? { ...base, probed: Uint8Array.from(prices, (usd) => (Number.isNaN(usd) ? 0 : 1)) } : base;
}

/** The prices of one type in the zones of one region, a point for every change, as `monthCost` reads them. */
export function priceSeries(book: PriceBook, pools: readonly PoolKey[]): PricePoint[] {
  const [first] = pools;
  if (first === undefined) return [];
  const all = [book.onDemandSteps(first), ...pools.map((pool) => book.spot(pool))];
  const times = [...new Set(all.flatMap((steps) => steps.map(({ atMs }) => atMs)))].filter(Number.isFinite).sort((a, b) => a - b);
  const [onDemand, ...spot] = all.map((steps) => pricesAt(steps, times));
  return times.flatMap((atMs, i): PricePoint[] => {
    const onDemandUsdPerHour = onDemand?.[i] ?? Number.NaN;
    if (!(onDemandUsdPerHour > 0)) return [];
    const offered = (usd: number | undefined): number | undefined => (usd !== undefined && Number.isFinite(usd) ? usd : undefined);
    return [{ atSeconds: atMs / 1000, onDemandUsdPerHour, spotUsdPerHour: spot.map((prices) => offered(prices[i])) }];
  });
}
