import { describe, expect, it } from "vitest";
import { DEFAULT_SERVICE_COSTS, MONTH_HOURS, monthCost, parsePriceSeries, quantile } from "./month.ts";

const day = 86_400;
const still = { ...DEFAULT_SERVICE_COSTS, interruptionsPerMonth: 0 };
const flat = (a: number, b?: number): { atSeconds: number; onDemandUsdPerHour: number; spotUsdPerHour: (number | undefined)[] }[] =>
  [0, 40].map((d) => ({ atSeconds: d * day, onDemandUsdPerHour: 1, spotUsdPerHour: [a, b] }));

describe("monthCost", () => {
  it("is rent alone where nothing happens", () => {
    expect(monthCost(flat(0.3, 0.4), 0, still)).toMatchObject({ priceMoves: 0, moveUsd: 0, onDemandUsd: MONTH_HOURS });
    expect(monthCost(flat(0.3, 0.4), 0, still)!.spotUsd).toBeCloseTo(0.3 * MONTH_HOURS, 9);
  });

  it("counts double billing, transfer and on-demand fallback of every interruption", () => {
    const costs = {
      ...still,
      interruptionsPerMonth: 2,
      noSpotShare: 0.5,
      noSpotHours: 10,
      overlapSeconds: 3600,
      transferGb: 10,
      transferUsdPerGb: 0.01,
    };
    const month = monthCost(flat(0.3), 0, costs)!;
    expect(month.moveUsd).toBeCloseTo(2 * (0.3 + 0.1), 9);
    expect(month.fallbackUsd).toBeCloseTo(2 * 0.5 * (10 * 0.7 + 1 + 0.1), 9);
    expect(month.frozenSeconds).toBeCloseTo(2 * 1.5 * costs.freezeSeconds, 9);
  });

  it("moves for price by more than the margin only, and runs on-demand where no zone has an offer", () => {
    const point = (d: number, spot: (number | undefined)[]) => ({ atSeconds: d * day, onDemandUsdPerHour: 1, spotUsdPerHour: spot });
    expect(monthCost([point(0, [0.3, 0.4]), point(5, [0.3, 0.28]), point(10, [0.3, 0.2]), point(40, [1, 1])], 0, still)!.priceMoves).toBe(
      1,
    );
    const gone = monthCost([point(0, [0.3]), point(10, [undefined]), point(40, [0.3])], 0, still)!;
    expect(gone.spotUsd).toBeCloseTo(240 * 0.3 + 490 * 1, 6);
  });

  it("has no answer for a month that the series does not cover", () => {
    expect(monthCost(flat(0.3), 20 * day, still)).toBeUndefined();
    expect(monthCost(flat(0.3), -1, still)).toBeUndefined();
  });
});

it("reads price rows and names the one that is not", () => {
  const { zones, series } = parsePriceSeries("utc,on_demand_usd_per_hour,a,b\n2023-01-01T00:00:00Z,1,0.3,\n");
  expect(zones).toEqual(["a", "b"]);
  expect(series[0]).toEqual({
    atSeconds: Date.parse("2023-01-01T00:00:00Z") / 1000,
    onDemandUsdPerHour: 1,
    spotUsdPerHour: [0.3, undefined],
  });
  expect(() => parsePriceSeries("utc,on_demand_usd_per_hour,a\nx,1,2\n")).toThrow(/line 2/);
});

it("interpolates quantiles", () => {
  expect([0, 0.5, 1].map((q) => quantile([4, 1, 2], q))).toEqual([1, 2, 4]);
});
