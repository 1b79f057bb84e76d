import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { analyze, MOST_PRICES, parseAnalyzeRequest } from "./analyze.ts";
import { assess, describeAssessment, type Evidence } from "./assess.ts";
import { DEFAULT_HAZARD_MODEL } from "./default-hazard-model.ts";
import type { PoolReadings } from "./features.ts";
import { checkHazardModel, HORIZONS_SECONDS } from "./hazard-model.ts";
import { applyRules } from "./rules.ts";

const model = checkHazardModel(DEFAULT_HAZARD_MODEL);
const readings: PoolReadings = {
  ageHours: 3,
  lossesLastHour: 1,
  lossesLastDay: 4,
  shareLastDay: 0.8,
  neighbourLossesLastHour: 0.5,
  spotUsdPerHour: 0.97,
  onDemandUsdPerHour: 3.06,
  priceTrendLastDay: 0.02,
  priceVolatilityLastDay: 0.004,
  hourOfDay: 14,
};
const full: Evidence = { readings, advisorBand: 2, placementScore: 6 };
const at = (evidence: Evidence, horizonSeconds: number): number =>
  assess(model, evidence).horizons.find((h) => h.horizonSeconds === horizonSeconds)!.probability;

const maybe = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> => fc.option(arbitrary, { nil: undefined });
const anyEvidence = fc
  .record({
    ageHours: maybe(fc.double({ min: 0, max: 1000, noNaN: true })),
    lossesLastHour: maybe(fc.nat(20)),
    lossesLastDay: maybe(fc.nat(100)),
    shareLastDay: maybe(fc.double({ min: 0, max: 1, noNaN: true })),
    spotUsdPerHour: maybe(fc.double({ min: 0, max: 50, noNaN: true })),
    onDemandUsdPerHour: maybe(fc.double({ min: 0, max: 50, noNaN: true })),
    hourOfDay: maybe(fc.double({ min: 0, max: 24, noNaN: true })),
    rebalance: maybe(fc.record({ ageSeconds: fc.integer({ min: 0, max: 1e5 }) })),
    notice: maybe(fc.record({ secondsLeft: fc.integer({ min: -10, max: 300 }) })),
    advisorBand: maybe(fc.integer({ min: -1, max: 6 })),
    placementScore: maybe(fc.integer({ min: 0, max: 12 })),
    incident: maybe(fc.record({ ageSeconds: fc.integer({ min: 0, max: 1e5 }) })),
  })
  .map(
    ({ rebalance, notice, advisorBand, placementScore, incident, ...rest }) =>
      JSON.parse(JSON.stringify({ readings: rest, rebalance, notice, advisorBand, placementScore, incident })) as Evidence,
  );

describe("assess", () => {
  it("gives probabilities in [0, 1] inside their range, never falling with the horizon", () => {
    fc.assert(
      fc.property(anyEvidence, (evidence) => {
        let last = { probability: 0, low: 0, high: 0 };
        for (const h of assess(model, evidence).horizons) {
          expect(h.low).toBeGreaterThanOrEqual(0);
          expect(h.low).toBeLessThanOrEqual(h.probability);
          expect(h.probability).toBeLessThanOrEqual(h.high);
          expect(h.high).toBeLessThanOrEqual(1);
          for (const key of ["probability", "low", "high"] as const) expect(h[key]).toBeGreaterThanOrEqual(last[key]);
          last = h;
        }
      }),
    );
  });

  it("explains exactly: the starting probability and the contributions add up to the answer", () => {
    fc.assert(
      fc.property(anyEvidence, (evidence) => {
        const a = assess(model, evidence);
        const total = a.contributions.reduce((sum, c) => sum + c.points, a.startingProbability);
        expect(total).toBeCloseTo(a.horizons.find((h) => h.horizonSeconds === a.explainedHorizonSeconds)!.probability, 9);
      }),
    );
  });

  const changed: [string, Evidence][] = [
    ["ageHours", { ...full, readings: { ...readings, ageHours: 40 } }],
    ["lossesLastHour", { ...full, readings: { ...readings, lossesLastHour: 5 } }],
    ["lossesLastDay", { ...full, readings: { ...readings, lossesLastDay: 30 } }],
    ["shareLastDay", { ...full, readings: { ...readings, shareLastDay: 0.2 } }],
    ["neighbourLossesLastHour", { ...full, readings: { ...readings, neighbourLossesLastHour: 3 } }],
    ["spotUsdPerHour", { ...full, readings: { ...readings, spotUsdPerHour: 2.9 } }],
    ["onDemandUsdPerHour", { ...full, readings: { ...readings, onDemandUsdPerHour: 1 } }],
    ["priceTrendLastDay", { ...full, readings: { ...readings, priceTrendLastDay: 0.4 } }],
    ["priceVolatilityLastDay", { ...full, readings: { ...readings, priceVolatilityLastDay: 0.4 } }],
    ["hourOfDay", { ...full, readings: { ...readings, hourOfDay: 3 } }],
    ["rebalance", { ...full, rebalance: { ageSeconds: 0 } }],
    ["notice", { ...full, notice: { secondsLeft: 110 } }],
    ["advisorBand", { ...full, advisorBand: 4 }],
    ["placementScore", { ...full, placementScore: 2 }],
    ["incident", { ...full, incident: { ageSeconds: 60 } }],
  ];
  it.each(changed)("%s can change the outcome at every horizon that it bears on", (_, evidence) => {
    const before = assess(model, full);
    const after = assess(model, evidence);
    expect(after.horizons.map((h) => h.probability)).not.toEqual(before.horizons.map((h) => h.probability));
    expect(after.contributions).not.toEqual(before.contributions);
  });

  it("widens the range and says so when an input is missing", () => {
    const { ageHours: _, ...rest } = readings;
    const width = (evidence: Evidence): number => {
      const h = assess(model, evidence).horizons[2]!;
      return Math.log(h.high / h.low);
    };
    expect(width({ ...full, readings: rest })).toBeGreaterThan(width(full));
    expect(assess(model, { ...full, readings: rest }).missing).toEqual(["age"]);
    expect(assess(model, full).missing).toEqual([]);
    expect(width({ readings })).toBeGreaterThan(width(full));
  });

  it("is monotone where it should be", () => {
    for (const horizon of HORIZONS_SECONDS) {
      for (const [more, less] of [
        [{ lossesLastHour: 4 }, { lossesLastHour: 0 }],
        [{ lossesLastDay: 20 }, { lossesLastDay: 1 }],
        [{ ageHours: 0.1 }, { ageHours: 20 }],
        [{ shareLastDay: 0.3 }, { shareLastDay: 0.99 }],
        [{ spotUsdPerHour: 2.5 }, { spotUsdPerHour: 0.5 }],
        [{ neighbourLossesLastHour: 2 }, { neighbourLossesLastHour: 0 }],
      ]) {
        expect(at({ ...full, readings: { ...readings, ...more } }, horizon)).toBeGreaterThan(
          at({ ...full, readings: { ...readings, ...less } }, horizon),
        );
      }
      expect(at({ ...full, rebalance: { ageSeconds: 60 } }, horizon)).toBeGreaterThan(
        at({ ...full, rebalance: { ageSeconds: 7200 } }, horizon),
      );
      expect(at({ ...full, advisorBand: 3 }, horizon)).toBeGreaterThan(at({ ...full, advisorBand: 0 }, horizon));
    }
  });

  it("is certain of a notice from its deadline on, and not before", () => {
    const a = assess(model, { ...full, notice: { secondsLeft: 300 } });
    expect(a.horizons.map((h) => h.probability === 1)).toEqual([false, true, true, true, true]);
    expect(a.contributions[0]).toMatchObject({ name: "notice", source: "certain" });
  });

  it("never panics over a single incident: a provider incident alone stays below one half within the hour", () => {
    const calm: Evidence = { readings: { ageHours: 48, lossesLastDay: 0, lossesLastHour: 0, shareLastDay: 1 } };
    expect(at({ ...calm, incident: { ageSeconds: 0 } }, 3600)).toBeLessThan(0.5);
  });

  it("keeps its explanation in words (golden)", () => {
    expect(
      describeAssessment(
        assess(model, {
          readings: { ageHours: 30, lossesLastHour: 0, lossesLastDay: 1, shareLastDay: 0.98 },
          rebalance: { ageSeconds: 0 },
        }),
      ),
    ).toMatchSnapshot();
  });

  it("refuses a model of another shape", () => {
    expect(() => checkHazardModel({ ...model, features: ["x"] })).toThrow(/other features/);
    expect(() => checkHazardModel({ ...model, intercept: [0] })).toThrow(/wrong size/);
  });
});

describe("the four rules", () => {
  const calm = [1, 1.02, 1.01, 0.99, 1, 1.01];
  it("answer in their order", () => {
    const wild = [1, 20, 1, 20, 1, 20, 1, 20, 1, 40];
    expect(applyRules({ spotPriceHistory: wild, rebalanceSignal: true })).toMatchObject({
      status: "CRITICAL",
      reason: "Cloud Provider Signal",
    });
    expect(applyRules({ spotPriceHistory: wild, rebalanceSignal: false })).toMatchObject({
      status: "CRITICAL",
      reason: "Price Spike Detected",
    });
    expect(applyRules({ spotPriceHistory: [...wild.slice(0, 9), 1], rebalanceSignal: false })).toMatchObject({
      status: "CRITICAL",
      reason: "Market Instability",
    });
    expect(applyRules({ spotPriceHistory: calm, rebalanceSignal: false })).toMatchObject({ status: "LOW", reason: "Stable" });
    expect(applyRules({ spotPriceHistory: [], rebalanceSignal: false })).toMatchObject({ status: "LOW", reason: "Stable" });
  });

  it("look at the last ten for the trend, above the threshold and not at it", () => {
    const ten = (last: number): number[] => [50, ...new Array<number>(9).fill(1), last];
    expect(applyRules({ spotPriceHistory: ten(1.6), rebalanceSignal: false }).rule).toBe("price-spike");
    expect(applyRules({ spotPriceHistory: calm, rebalanceSignal: false }, { trend: 0, volatilityUsd: 5 }).rule).toBe("price-spike");
    expect(applyRules({ spotPriceHistory: [0, 10], rebalanceSignal: false }).rule).toBe("stable");
    expect(applyRules({ spotPriceHistory: [5, 15, 5, 15], rebalanceSignal: false }, { trend: 9, volatilityUsd: 5 }).rule).toBe("stable");
    expect(applyRules({ spotPriceHistory: [5, 15.1, 5, 15.1], rebalanceSignal: false }, { trend: 9, volatilityUsd: 5 }).rule).toBe(
      "market-instability",
    );
  });
});

describe("POST /analyze", () => {
  it("answers with the rule's words and the model's probability", () => {
    const response = analyze(model, { spotPriceHistory: [0.03, 0.03, 0.03, 0.05], rebalanceSignal: false, capacityScore: 0.5 });
    expect(response).toMatchObject({ status: "CRITICAL", prediction: 100, rca: "Price Spike Detected", horizonSeconds: 3600 });
    expect(response.volatilityUsd).toBeLessThan(0.01);
    expect(response.relativeVolatility).toBeGreaterThan(0.2);
    expect(response.confidence).toBeGreaterThan(0);
    expect(response.confidence).toBeLessThan(1);
  });

  it("lets each of its inputs change the probability", () => {
    const base = { spotPriceHistory: [1, 1, 1], rebalanceSignal: false, capacityScore: 0.5 };
    const p = analyze(model, base).probability;
    expect(analyze(model, { ...base, rebalanceSignal: true }).probability).toBeGreaterThan(p);
    expect(analyze(model, { ...base, capacityScore: 0.1 }).probability).toBeGreaterThan(p);
    expect(analyze(model, { ...base, spotPriceHistory: [1, 1.2, 1.4] }).probability).not.toBe(p);
  });

  it("names every field that is wrong", () => {
    const fields = (body: unknown): string[] => {
      const parsed = parseAnalyzeRequest(body);
      return "errors" in parsed ? parsed.errors.map((e) => e.field) : [];
    };
    expect(fields({})).toEqual(["spotPriceHistory", "rebalanceSignal", "capacityScore"]);
    expect(fields({ spotPriceHistory: [1, "x"], rebalanceSignal: false, capacityScore: 2 })).toEqual([
      "spotPriceHistory[1]",
      "capacityScore",
    ]);
    expect(fields({ spotPriceHistory: new Array(MOST_PRICES + 1).fill(1), rebalanceSignal: true, capacityScore: 0 })).toEqual([
      "spotPriceHistory",
    ]);
    expect(fields({ spotPriceHistory: [], rebalanceSignal: true, capacityScore: 0 })).toEqual([]);
    expect(fields([])).toEqual([""]);
  });
});
