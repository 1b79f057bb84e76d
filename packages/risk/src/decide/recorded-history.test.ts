import { describe, expect, it } from "vitest";
import { DEFAULT_HAZARD_MODEL } from "../assess/default-hazard-model.ts";
import { probabilityWithin } from "../assess/horizon.ts";
import { historyOf } from "./recorded-history.ts";

const pool = (pair: string, bits: readonly number[], startSeconds = 0) => ({
  group: "g",
  trace: { pair, zone: pair, gapSeconds: 600, available: Uint8Array.from(bits) },
  startSeconds,
  hasKnownClock: true,
  onDemandUsdPerHour: 3,
});

describe("historyOf", () => {
  it("assesses each tick from what was seen by then: the future changes nothing before it", () => {
    const past = new Array<number>(100).fill(1).map((_, i) => (i % 17 === 0 ? 0 : 1));
    const calm = historyOf([pool("a", [...past, ...new Array<number>(50).fill(1)])], DEFAULT_HAZARD_MODEL, 3600, 1);
    const wild = historyOf([pool("a", [...past, ...new Array<number>(50).fill(0)])], DEFAULT_HAZARD_MODEL, 3600, 1);
    expect(wild.ticks.slice(0, 100)).toEqual(calm.ticks.slice(0, 100));
    expect(calm.ticks[1]?.[0]?.probability).toBeGreaterThan(calm.ticks.at(-1)?.[0]?.probability ?? 1);
  });
  it("refuses pools that were not recorded together", () => {
    expect(() => historyOf([pool("a", [1]), pool("b", [1], 600)], DEFAULT_HAZARD_MODEL, 3600, 1)).toThrow(/recorded together/);
    expect(() => historyOf([], DEFAULT_HAZARD_MODEL, 3600, 1)).toThrow(/no pools/);
  });
});

describe("probabilityWithin", () => {
  const horizons = [
    { horizonSeconds: 120, probability: 0.1 },
    { horizonSeconds: 600, probability: 0.4 },
  ];
  it("meets the horizons and grows between them", () => {
    const at = [0, 60, 120, 300, 600, 6000].map((seconds) => probabilityWithin({ horizons }, seconds));
    expect([at[0], at[2], at[4], at[5]]).toEqual([0, expect.closeTo(0.1, 12), expect.closeTo(0.4, 12), 0.4]);
    expect(at).toEqual([...at].sort((a, b) => a - b));
  });
});
