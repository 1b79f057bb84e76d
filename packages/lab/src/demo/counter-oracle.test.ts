import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createCounterOracle } from "./counter-oracle.ts";

describe("counter oracle", () => {
  it("accepts an honest server through any breaks, whether the request in flight was counted or not", () => {
    const step = fc.oneof(fc.constant("answer"), fc.constant("break, counted"), fc.constant("break, lost"), fc.constant("break, idle"));
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 1000 }), fc.array(step), (start, steps) => {
        const oracle = createCounterOracle();
        let counter = start;
        for (const what of steps) {
          if (what === "answer") expect(oracle.answered(++counter)).toBe("right");
          else oracle.broke(what !== "break, idle");
          if (what === "break, counted") counter++;
        }
      }),
    );
  });
  it("finds every skip and repeat on a connection that did not break", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 100_000 }),
        fc.integer({ min: -5, max: 5 }).filter((by) => by !== 1),
        (value, by) => {
          const oracle = createCounterOracle();
          oracle.answered(value);
          expect(oracle.answered(value + by)).toBe("wrong");
        },
      ),
    );
  });
  it("finds a counter that went back across a break, and one that jumped further than what was in flight", () => {
    for (const [next, verdict] of [
      [10, "wrong"],
      [9, "wrong"],
      [11, "right"],
      [12, "right"],
      [13, "wrong"],
    ] as const) {
      const oracle = createCounterOracle();
      oracle.answered(10);
      oracle.broke(true);
      expect(oracle.answered(next), String(next)).toBe(verdict);
    }
  });
  it("forgives only once: after the next answer it is strict again", () => {
    const oracle = createCounterOracle();
    oracle.answered(1);
    oracle.broke(true);
    oracle.answered(2);
    expect(oracle.answered(4)).toBe("wrong");
  });
});
