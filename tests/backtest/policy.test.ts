import { createAetherPolicy, greedyPolicy, type Job, type Policy, simulate, uniformProgressPolicy } from "@aether/risk";
import { describe, expect, it } from "vitest";
import { findTraces, readGroup, readText } from "../../bench/risk/traces.ts";

const dir = findTraces();
const missing = dir === undefined ? "no trace bundle at ../shared/data/traces and AETHER_TRACES is not set" : undefined;

describe.skipIf(missing !== undefined)(`the aether policy on recorded pools${missing ? ` (skipped: ${missing})` : ""}`, () => {
  // Windows that start after its training data ends; every sixth.
  it.each([52, 60, 70, 92])("is cheaper than Uniform Progress and greedy at %s h, and misses no deadline", (deadlineHours) => {
    const starts = (JSON.parse(readText(dir ?? "", "oracle/windows_2022-10-26.starts.json")) as { starts: number[] }).starts.filter(
      (start) => start >= 700,
    );
    const job: Job = {
      workSeconds: 48 * 3600,
      deadlineSeconds: deadlineHours * 3600,
      changeoverSeconds: 720,
      gapSeconds: 600,
      onDemandUsdPerHour: 3.06,
      spotUsdPerHour: 0.9731,
    };
    const traces = readGroup(dir ?? "", "aws-2022-10-26-full");
    const mean = (policy: Policy): number => {
      const results = traces.flatMap((trace) => starts.filter((_, i) => i % 6 === 0).map((start) => simulate(trace, start, job, policy)));
      expect(results.some((result) => result.missedDeadline)).toBe(false);
      return results.reduce((sum, result) => sum + result.costUsd, 0) / results.length;
    };
    const ours = mean(createAetherPolicy());
    expect(ours).toBeLessThan(mean(uniformProgressPolicy));
    expect(ours).toBeLessThan(mean(greedyPolicy));
  });
});
