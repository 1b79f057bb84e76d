import { describe, expect, it } from "vitest";
import type { Job, Policy } from "./job.ts";
import { omniscient } from "./omniscient.ts";
import { greedyPolicy, onDemandPolicy, uniformProgressPlainPolicy, uniformProgressPolicy } from "./reference-policies.ts";
import { simulate } from "./simulate.ts";
import { formatRow } from "./table.ts";
import { parseRuns, parseTrace, type Trace } from "./trace.ts";

const HOUR = 3600;
const job = (over: Partial<Job> = {}): Job => ({
  workSeconds: 2 * HOUR,
  deadlineSeconds: 4 * HOUR,
  changeoverSeconds: 720,
  gapSeconds: 600,
  onDemandUsdPerHour: 3,
  spotUsdPerHour: 1,
  ...over,
});
const trace = (bits: string, spotUsdPerHour?: number[]): Trace => ({
  pair: "zone_device",
  zone: "zone",
  gapSeconds: 600,
  available: Uint8Array.from(bits, Number),
  ...(spotUsdPerHour ? { spotUsdPerHour: Float64Array.from(spotUsdPerHour) } : {}),
});
const up = "1".repeat(40);
const none = "0".repeat(40);

describe("simulate", () => {
  it("bills whole ticks and pays the full changeover on the first start", () => {
    const result = simulate(trace(up), 0, job(), onDemandPolicy);
    // 2 h of work + 12 min of changeover = 13.2 ticks: 14 are billed.
    expect(result.onDemandSeconds).toBe(14 * 600);
    expect(result.costUsd).toBeCloseTo((14 * 600 * 3) / HOUR, 9);
    expect(result.finishSeconds).toBe(14 * 600);
    expect(result.onDemandStarts).toBe(1);
  });

  it("keeps the progress of the tick before a loss and counts the loss", () => {
    const result = simulate(trace(`111101${up}`), 0, job({ deadlineSeconds: 10 * HOUR }), greedyPolicy);
    expect(result.preemptions).toBe(1);
    expect(result.spotStarts).toBe(2);
    expect(result.spotProgressSeconds).toBeCloseTo(2 * HOUR, 6);
    // 4 ticks - 720 s, then the rest with a new changeover.
    expect(result.spotSeconds).toBe(Math.ceil((2 * HOUR + 2 * 720) / 600) * 600);
  });

  it("uses the price of the tick where the trace has one", () => {
    const prices = Array.from({ length: 40 }, (_, i) => (i < 5 ? 2 : 1));
    const flat = simulate(trace(up), 0, job(), greedyPolicy).costUsd;
    expect(simulate(trace(up, prices), 0, job(), greedyPolicy).costUsd).toBeCloseTo(flat + (5 * 600) / HOUR, 9);
  });

  it("throws when a policy chooses spot that is not there", () => {
    const liar: Policy = { name: "liar", begin: () => ({ choose: () => "spot" }) };
    expect(() => simulate(trace(none), 0, job(), liar)).toThrow(/where there is none/);
  });

  it("reports a job that never finishes as a miss", () => {
    const lazy: Policy = { name: "lazy", begin: () => ({ choose: () => "idle" }) };
    const result = simulate(trace(up), 0, job(), lazy);
    expect(result.missedDeadline).toBe(true);
    expect(result.finishSeconds).toBe(Number.POSITIVE_INFINITY);
  });

  it("does not let a policy see the future: results before a tick do not depend on what follows it", () => {
    const head = "1110011100110111";
    for (const policy of [greedyPolicy, uniformProgressPolicy, uniformProgressPlainPolicy]) {
      const seen: string[][] = [[], []];
      for (const [i, tail] of [up, none].entries()) {
        const spy: Policy = {
          name: "spy",
          begin: (j) => {
            const inner = policy.begin(j);
            return {
              choose: (view) => {
                const choice = inner.choose(view);
                if (view.elapsedSeconds < head.length * 600) seen[i]!.push(choice);
                return choice;
              },
            };
          },
        };
        simulate(trace(head + tail), 0, job({ workSeconds: 4 * HOUR, deadlineSeconds: 8 * HOUR }), spy);
      }
      expect(seen[0]).toEqual(seen[1]);
    }
  });
});

describe("omniscient", () => {
  it("is never dearer than a policy that meets the deadline", () => {
    for (let seed = 1; seed < 40; seed++) {
      let x = seed * 2654435761;
      const bits = Array.from({ length: 60 }, () => {
        x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
        return x / 2 ** 32 < 0.5 ? "1" : "0";
      }).join("");
      const t = trace(bits);
      const best = omniscient(t, 0, job());
      for (const policy of [greedyPolicy, uniformProgressPolicy, uniformProgressPlainPolicy, onDemandPolicy]) {
        const run = simulate(t, 0, job(), policy);
        expect(run.missedDeadline).toBe(false);
        expect(best.costUsd).toBeLessThanOrEqual(run.costUsd + 1e-9);
      }
    }
  });

  it("waits for spot when that is cheaper and buys on-demand when it must", () => {
    expect(omniscient(trace(none), 0, job()).onDemandSeconds).toBe(14 * 600);
    const waits = omniscient(trace(`000000${up}`), 0, job());
    expect(waits.onDemandSeconds).toBe(0);
    expect(waits.spotStarts).toBe(1);
  });

  it("says so when no schedule meets the deadline", () => {
    expect(omniscient(trace(none), 0, job({ deadlineSeconds: HOUR })).missedDeadline).toBe(true);
  });
});

describe("trace text", () => {
  it("counts a tick as available only at the wanted capacity, and unprobed as not", () => {
    const text = "tick,ticks,utc,capacity\n0,2,2025-10-04T00:10:00Z,16\n2,1,,15\n3,1,,-1\n4,1,,16\n";
    const wanted = { pair: "p", zone: "z", gapSeconds: 600, capacityCsv: text };
    expect([...parseTrace({ ...wanted, instances: 16 }).available]).toEqual([1, 1, 0, 0, 1]);
    expect([...parseTrace({ ...wanted, instances: 15 }).available]).toEqual([1, 1, 1, 0, 1]);
  });

  it("names the line that is not a run", () => {
    expect(() => parseRuns("tick,ticks,utc,capacity\n0,2,,1\n2,x,,1\n")).toThrow(/line 3/);
    expect(() => parseRuns("tick,ticks,utc,capacity\n0,2,,\n")).toThrow(/line 2/);
  });

  it("writes rows in the reference's own format", () => {
    const result = simulate(trace(up), 0, job(), onDemandPolicy);
    expect(formatRow({ pair: "a_b", window: 3, deadlineHours: 52, changeoverHours: 0.2, policy: "on_demand", result })).toBe(
      "a_b,3,52,0.2,on_demand,7.000000,0.000000,2.333333,0.000000,2.000000,0,1,0,2.3333",
    );
  });
});
