import { describe, expect, it } from "vitest";
import { compareAll } from "../../bench/risk/oracle.ts";
import { findTraces } from "../../bench/risk/traces.ts";

// A spread subset (every 97th row); all rows: `node --conditions=@source bench/risk/oracle.ts`.
const dir = findTraces();
const missing = dir === undefined ? "no trace bundle at ../shared/data/traces and AETHER_TRACES is not set" : undefined;

describe.skipIf(missing !== undefined)(`reference results of the public simulator${missing ? ` (skipped: ${missing})` : ""}`, () => {
  it("are matched to 1e-5 USD", { timeout: 60_000 }, () => {
    for (const comparison of compareAll(dir ?? "", 97)) {
      expect(comparison.rows).toBeGreaterThan(9);
      expect(comparison.mismatches, comparison.table).toEqual([]);
    }
  });
});
