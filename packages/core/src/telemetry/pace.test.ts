import { expect, it } from "vitest";
import { nextIntervalMs } from "./pace.ts";

it("is slower when samples are lost or about to be, and comes back when there is room for twice as many", () => {
  expect(nextIntervalMs(1_000, 1_000, { lost: 0, filled: 0.1 })).toBe(1_000);
  expect(nextIntervalMs(1_000, 1_000, { lost: 5, filled: 1 })).toBe(2_000);
  expect(nextIntervalMs(2_000, 1_000, { lost: 0, filled: 0.6 })).toBe(4_000);
  expect(nextIntervalMs(4_000, 1_000, { lost: 0, filled: 0.3 })).toBe(4_000);
  expect(nextIntervalMs(4_000, 1_000, { lost: 0, filled: 0.1 })).toBe(2_000);
  expect(nextIntervalMs(16_000, 1_000, { lost: 1, filled: 1 })).toBe(16_000);
  // One who asked for less than this is not given more.
  expect(nextIntervalMs(60_000, 60_000, { lost: 1, filled: 1 })).toBe(60_000);
});
