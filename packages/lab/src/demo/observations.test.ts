import { describe, expect, it } from "vitest";
import { createObservations, joinReports } from "./observations.ts";

describe("observations", () => {
  it("shows a wait as a ramp over the slices that passed, and one gap", () => {
    const seen = createObservations(1000);
    seen.sent(1010);
    seen.answered(1012, true);
    seen.sent(1050);
    seen.answered(1350, true);
    const report = seen.take(1400);
    expect(report.worstLatencyMs).toEqual([50, 150, 250, 300]);
    expect(report.gaps).toEqual([{ atMs: 1050, durationMs: 300 }]);
    expect(report).toMatchObject({ requestCount: 2, errorCount: 0, wrongCount: 0, longestGapMs: 300, latencyP50Ms: 300 });
  });
  it("tells of a wait that has not ended, and records its gap whole in the report in which it ends", () => {
    const seen = createObservations(0);
    seen.sent(900);
    const first = seen.take(1000);
    expect(first).toMatchObject({ requestCount: 0, longestGapMs: 100, gaps: [] });
    expect(first.worstLatencyMs.at(-1)).toBe(100);
    seen.answered(1500, true);
    const second = seen.take(2000);
    expect(second.gaps).toEqual([{ atMs: 900, durationMs: 600 }]);
    expect(second.worstLatencyMs).toEqual([200, 300, 400, 500, 600, 600, 0, 0, 0, 0]);
  });
  it("counts a wait across a reconnect from the first sending on", () => {
    const seen = createObservations(0);
    seen.sent(10);
    seen.failed("connection reset", true);
    seen.sent(400);
    seen.answered(410, true);
    expect(seen.take(500)).toMatchObject({ errorCount: 1, reconnectCount: 1, lastError: "connection reset", longestGapMs: 400 });
  });
  it("loses nothing when reports are joined", () => {
    const seen = createObservations(0);
    seen.sent(1);
    seen.answered(2, false);
    const first = seen.take(100);
    seen.failed("x", false);
    const joined = joinReports(first, seen.take(200));
    expect(joined).toMatchObject({ sinceMs: 0, untilMs: 200, requestCount: 1, wrongCount: 1, errorCount: 1 });
    expect(joined.worstLatencyMs).toHaveLength(2);
  });
});
