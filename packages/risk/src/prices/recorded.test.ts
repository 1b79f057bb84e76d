import { describe, expect, it } from "vitest";
import type { PoolKey, PriceBook, PriceStep } from "./price-book.ts";
import { priceAt, pricesAt } from "./price-book.ts";
import { priceSeries, recordedTrace } from "./recorded.ts";

const pool = (zone: string): PoolKey => ({ region: "r", zone, instanceType: "t" });
const book = (spot: Record<string, PriceStep[]>, onDemand: PriceStep[] = []): PriceBook => ({
  pools: Object.keys(spot).map(pool),
  spot: ({ zone }) => spot[zone] ?? [],
  spotSource: () => undefined,
  onDemand: () => undefined,
  onDemandSteps: () => onDemand,
  advisorBand: () => undefined,
});
const step = (minutes: number, usdPerHour: number): PriceStep => ({ atMs: minutes * 60_000, usdPerHour });

describe("recorded prices", () => {
  it("are the same one by one and on a grid", () => {
    const steps = [step(5, 1), step(10, 2), step(10.5, 3), step(40, 4)];
    const times = [0, 5, 9, 10, 11, 39, 40, 90].map((minutes) => minutes * 60_000);
    expect([...pricesAt(steps, times)]).toEqual(times.map((atMs) => priceAt(steps, atMs) ?? Number.NaN));
  });

  it("make a market: there while the price is at most what would be paid and nothing was lost, unknown before the first price", () => {
    const prices = book({ a: [step(15, 0.5), step(40, 3), step(60, Number.POSITIVE_INFINITY), step(70, 1)] });
    const span = { fromMs: 0, toMs: 95 * 60_000, gapSeconds: 600, losses: [82 * 60_000], mostUsdPerHour: 1 };
    const trace = recordedTrace(prices, pool("a"), span);
    expect(trace).toMatchObject({ pair: "a_t", zone: "a", gapSeconds: 600 });
    expect([...trace.available]).toEqual([0, 0, 1, 1, 0, 0, 0, 1, 0]);
    expect([...(trace.probed ?? [])]).toEqual([0, 0, 1, 1, 1, 1, 1, 1, 1]);
    expect([...(trace.spotUsdPerHour ?? [])]).toEqual([0.5, 0.5, 0.5, 0.5, 3, 3, 1, 1, 1]);
    const known = recordedTrace(prices, pool("a"), { ...span, fromMs: 20 * 60_000 });
    expect(known.probed).toBeUndefined();
  });

  it("make a series with a point for every change, from the first on-demand price on", () => {
    const prices = book({ a: [step(0, 1), step(20, 2)], b: [step(10, 3), step(30, Number.POSITIVE_INFINITY)] }, [step(10, 9)]);
    expect(priceSeries(prices, prices.pools).map(({ atSeconds, spotUsdPerHour }) => [atSeconds / 60, ...spotUsdPerHour])).toEqual([
      [10, 1, 3],
      [20, 2, 3],
      [30, 2, undefined],
    ]);
    expect(priceSeries(prices, [])).toEqual([]);
  });
});
