import { expect, it } from "vitest";
import { nextIntervalMs } from "./pace.ts";

it("is slower when samples are lost or about to be, and comes back when there is room for twice as many", () => {
  expect(nextIntervalMs(1_000, 1_000, { lost: 0, filled: 0.1, busy: 0.5 })).toBe(1_000);
  expect(nextIntervalMs(1_000, 1_000, { lost: 5, filled: 1, busy: 0.5 })).toBe(2_000);
  expect(nextIntervalMs(2_000, 1_000, { lost: 0, filled: 0.6, busy: 0.5 })).toBe(4_000);
  expect(nextIntervalMs(4_000, 1_000, { lost: 0, filled: 0.3, busy: 0.5 })).toBe(4_000);
  expect(nextIntervalMs(4_000, 1_000, { lost: 0, filled: 0.1, busy: 0.5 })).toBe(2_000);
  expect(nextIntervalMs(16_000, 1_000, { lost: 1, filled: 1, busy: 0.5 })).toBe(16_000);
  // A process without a rest does not read what is said in time; one that is merely busy is left as it is.
  expect(nextIntervalMs(1_000, 1_000, { lost: 0, filled: 0.1, busy: 0.99 })).toBe(2_000);
  expect(nextIntervalMs(4_000, 1_000, { lost: 0, filled: 0.1, busy: 0.95 })).toBe(4_000);
  // One who asked for less than this is not given more.
  expect(nextIntervalMs(60_000, 60_000, { lost: 1, filled: 1, busy: 0.5 })).toBe(60_000);
});
