import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { isInWindow, leftRecently, openCircuits, type PastMove, railLimits, resting } from "./rails.ts";

const limits = railLimits({ atOnce: 32, atOnceEachNode: 4, restSeconds: 600, circuitFailures: 3, circuitSeconds: 600 });
const past = (agoSeconds: number, over: Partial<PastMove> = {}): PastMove => ({
  workload: "db",
  sourceNodeId: "n1",
  targetNodeId: "n2",
  isDone: false,
  code: "TRANSFER_FAILED",
  endedAtMs: 1e12 - agoSeconds * 1000,
  ...over,
});
const nowMs = 1e12;

describe("circuits", () => {
  it("open after failures in a row, and close by a success or by time", () => {
    const failures = [past(10), past(20), past(30)];
    expect(openCircuits(failures, limits, nowMs)).toMatchObject([
      { sourceNodeId: "n1", targetNodeId: "n2", failures: 3, lastError: "TRANSFER_FAILED" },
    ]);
    expect(openCircuits(failures.slice(1), limits, nowMs)).toEqual([]);
    expect(openCircuits([past(5, { isDone: true, code: "" }), ...failures], limits, nowMs)).toEqual([]);
    expect(openCircuits(failures, limits, nowMs + 600_000)).toEqual([]);
  });

  it("are not opened by what is not the pair's fault", () => {
    expect(
      openCircuits(
        ["PREFLIGHT_REFUSED", "NOT_BEGUN", "CANCELLED", "NO_TARGET"].map((code, ago) => past(ago, { code })),
        limits,
        nowMs,
      ),
    ).toEqual([]);
    // A step that did not answer in its time is.
    expect(
      openCircuits(
        [1, 2, 3].map((ago) => past(ago, { code: "DEADLINE_EXCEEDED" })),
        limits,
        nowMs,
      ),
    ).toHaveLength(1);
  });
});

describe("rest", () => {
  it("doubles with each failure in a row, and never for ever", () => {
    expect(resting([past(10, { isDone: true, code: "" })], limits, nowMs)).toMatchObject([
      { workload: "db", failures: 0, untilMs: nowMs + 590_000 },
    ]);
    expect(resting([past(10), past(20)], limits, nowMs)[0]?.untilMs).toBe(nowMs - 10_000 + 2_400_000);
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 60 }), (count) => {
        const [rest] = resting(
          Array.from({ length: count }, (_, i) => past(i)),
          limits,
          nowMs,
        );
        expect((rest?.untilMs ?? nowMs) - nowMs).toBeLessThanOrEqual(6 * 3_600_000);
      }),
      { numRuns: 20 },
    );
  });

  it("knows where a workload came from", () => {
    expect(leftRecently([past(10, { isDone: true })], nowMs).get("db")).toEqual(new Set(["n1"]));
    expect(leftRecently([past(31 * 60, { isDone: true }), past(5)], nowMs).size).toBe(0);
  });
});

describe("maintenance windows", () => {
  const at = (text: string) => Date.parse(`2026-01-${text}:00Z`); // 2026-01-02 is a Friday
  it("is always time without one", () => expect(isInWindow([], nowMs)).toBe(true));
  it.each([
    ["02T21:59", false],
    ["02T22:00", true],
    ["03T03:59", true],
    ["03T04:00", false],
    ["03T23:00", false],
  ])("goes over midnight: %s is %s", (text, expected) => {
    expect(isInWindow([{ days: ["fri"], fromMinute: 22 * 60, toMinute: 4 * 60 }], at(text))).toBe(expected);
  });
  it("means every day without days", () => {
    expect(isInWindow([{ days: [], fromMinute: 60, toMinute: 120 }], at("05T01:30"))).toBe(true);
    expect(isInWindow([{ days: [], fromMinute: 60, toMinute: 120 }], at("05T02:00"))).toBe(false);
  });
});
