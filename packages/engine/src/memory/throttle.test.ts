import { describe, expect, it } from "vitest";
import type { Round } from "./rounds.ts";
import { percentOf, throttleTo } from "./throttle.ts";

/** Passes of a workload that writes `dirty` bytes a second over a link of 100 MB/s. */
const passes = (dirty: number): Round[] =>
  [0, 1].map((number) => ({
    number,
    startedAtMs: number * 1000,
    durationMs: 1000,
    writtenPages: dirty / 4096,
    sentPages: 1,
    zeroPages: 0,
    sentBytes: 1e8,
  }));

describe("throttleTo", () => {
  it("leaves the CPU with which half of what the link carries is written, never less than the policy allows", () => {
    expect(throttleTo(passes(2e8), 100, 10)).toBe(25);
    expect(throttleTo(passes(2e8), 100, 60)).toBe(60);
    expect(throttleTo(passes(1e10), 150, 1)).toBe(10);
  });

  it("does nothing where that would not be less, or nothing is known", () => {
    expect(throttleTo(passes(2e7), 100, 10)).toBeUndefined();
    expect(throttleTo(passes(2e8), 20, 50)).toBeUndefined();
    expect(throttleTo([], 100, 10)).toBeUndefined();
  });

  it("counts percent of one processor", () => expect(percentOf(150, 1000)).toBe(150));
});
