import { expect, it } from "vitest";
import { createManualClock, systemClock } from "./clock.ts";

it("a manual clock moves only when told to, both hands together", () => {
  const clock = createManualClock(1000);
  expect([clock.nowMs(), clock.monotonicMs()]).toEqual([1000, 0]);
  clock.advance(250.5);
  expect([clock.nowMs(), clock.monotonicMs()]).toEqual([1250.5, 250.5]);
});

it("the system's clock is the wall clock in ms, and its monotonic hand never goes back", () => {
  expect(Math.abs(systemClock.nowMs() - Date.now())).toBeLessThan(1000);
  const hands = Array.from({ length: 1000 }, () => systemClock.monotonicMs());
  expect(hands).toEqual(hands.toSorted((a, b) => a - b));
});
