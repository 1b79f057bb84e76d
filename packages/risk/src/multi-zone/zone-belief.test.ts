import { describe, expect, it } from "vitest";
import { DEFAULT_POOL_MODEL } from "../backtest/default-pool-model.ts";
import { workValue } from "./work-value.ts";
import { beliefTables, ZoneBelief } from "./zone-belief.ts";

const tables = beliefTables(DEFAULT_POOL_MODEL, 600, 72, 300);
const after = (...looks: readonly (boolean | undefined)[]): ZoneBelief => {
  const belief = new ZoneBelief(tables);
  for (const look of looks) {
    belief.pass(false, false);
    if (look !== undefined) belief.see(look);
  }
  return belief;
};
const hours = (n: number) => new Array<undefined>(n * 6).fill(undefined);

describe("belief of a zone", () => {
  it("expects a zone that was seen for hours to last longer than one that has just come back", () => {
    const old = after(true, ...hours(1), true, ...hours(1), true).lastingHours(72);
    const fresh = after(false, false, true).lastingHours(72);
    expect(old).toBeGreaterThan(1.5 * fresh);
  });
  it("expects one that refused to be down still, less so as time passes", () => {
    expect(after(false).upShare(1)).toBeLessThan(after(false, ...hours(12)).upShare(1));
    expect(after(true).upShare(1)).toBeGreaterThan(after(true, ...hours(12)).upShare(1));
  });
  it("learns that a zone is frailer than others from its own losses", () => {
    const belief = after(true);
    const before = belief.lastingHours(72);
    for (let i = 0; i < 3; i++) {
      belief.see(true);
      belief.pass(true, true);
      belief.see(false);
    }
    belief.see(true);
    expect(belief.lastingHours(72)).toBeLessThan(before / 1.5);
  });
  it("works in steps shorter than the model's, and survives two looks that contradict each other", () => {
    const fine = beliefTables(DEFAULT_POOL_MODEL, 195, 200, 900);
    const belief = new ZoneBelief(fine);
    belief.see(true);
    belief.see(false);
    expect(belief.upShare(1)).toBeGreaterThanOrEqual(0);
    expect(belief.hoursUntilBack).toBeGreaterThan(0);
    const coarse = after(true).lastingHours(72);
    const seen = new ZoneBelief(fine);
    seen.pass(false, false);
    seen.see(true);
    expect(seen.lastingHours(222) / coarse).toBeCloseTo(1, 0);
  });
});

describe("value of an hour of work", () => {
  const zone = (up: number, usdPerHour: number) => ({ up, useful: 1, usdPerHour });
  it("is the price of the last zone that is needed, and on-demand's where spot cannot do it", () => {
    expect(workValue([zone(0.99, 1), zone(0.99, 2)], 0.2, 10)).toBe(1);
    expect(workValue([zone(0.1, 1)], 0.9, 10)).toBe(10);
    expect(workValue([], 0.5, 10)).toBe(10);
    expect(workValue([zone(1, 11)], 0.5, 10)).toBe(10);
  });
  it("rises with the need, long before on-demand is certain", () => {
    const values = [0.1, 0.3, 0.5, 0.7, 0.9].map((need) => workValue([zone(0.9, 1)], need, 10));
    expect(values).toEqual([...values].sort((a, b) => a - b));
    expect(values[2]).toBeGreaterThan(1);
    expect(values[2]).toBeLessThan(10);
  });
});
