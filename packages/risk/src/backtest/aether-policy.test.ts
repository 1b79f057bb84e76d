import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createAetherPolicy } from "./aether-policy.ts";
import { DEFAULT_POOL_MODEL } from "./default-pool-model.ts";
import type { Choice, Job, Policy } from "./job.ts";
import { chainOf, PoolTracker } from "./pool-model.ts";
import { simulate } from "./simulate.ts";
import type { Trace } from "./trace.ts";

const HOUR = 3600;
const trace = (bits: readonly number[], gapSeconds = 600): Trace => ({
  pair: "z_d",
  zone: "z",
  gapSeconds,
  available: Uint8Array.from(bits),
});
const job = (over: Partial<Job> = {}): Job => ({
  workSeconds: 6 * HOUR,
  deadlineSeconds: 9 * HOUR,
  changeoverSeconds: 720,
  gapSeconds: 600,
  onDemandUsdPerHour: 3.06,
  spotUsdPerHour: 0.9731,
  ...over,
});
const market = fc
  .array(fc.record({ up: fc.integer({ min: 0, max: 20 }), down: fc.integer({ min: 0, max: 20 }) }), { minLength: 1, maxLength: 20 })
  .map((runs) => runs.flatMap(({ up, down }) => [...new Array<number>(up).fill(1), ...new Array<number>(down).fill(0)]));
const policy = createAetherPolicy();

describe("aether policy", () => {
  it("never misses a deadline that on-demand can meet, whatever the market does", () => {
    fc.assert(
      fc.property(
        market,
        fc.constantFrom(195, 600, 641),
        fc.constantFrom(0, 5, 72, 720, 1440),
        fc.integer({ min: 0, max: 9 }),
        (bits, gapSeconds, changeoverSeconds, slackHours) => {
          const workSeconds = 6 * HOUR;
          // Feasible on the tick grid with one start; nothing more is promised to the policy.
          const deadlineSeconds = Math.ceil((workSeconds + changeoverSeconds) / gapSeconds) * gapSeconds + slackHours * HOUR;
          const result = simulate(trace(bits, gapSeconds), 0, job({ workSeconds, deadlineSeconds, changeoverSeconds, gapSeconds }), policy);
          expect(result.missedDeadline).toBe(false);
        },
      ),
      { numRuns: 150 },
    );
  });

  it("does not use the future: what follows a tick does not change the choices before it", () => {
    fc.assert(
      fc.property(market, fc.integer({ min: 0, max: 1 }), (bits, tail) => {
        const head = bits.slice(0, 40);
        const choices = (rest: number): Choice[] => {
          const seen: Choice[] = [];
          const spy: Policy = {
            name: "spy",
            begin: (j) => {
              const inner = policy.begin(j);
              return {
                choose: (view) => {
                  const choice = inner.choose(view);
                  if (view.elapsedSeconds < head.length * 600) seen.push(choice);
                  return choice;
                },
              };
            },
          };
          simulate(trace([...head, ...new Array<number>(60).fill(rest)]), 0, job(), spy);
          return seen;
        };
        expect(choices(tail)).toEqual(choices(1 - tail));
      }),
      { numRuns: 40 },
    );
  });

  it("stays on spot where spot never ends, and does not put the last minutes off until only on-demand can do them", () => {
    const result = simulate(trace(new Array<number>(60).fill(1)), 0, job(), policy);
    expect(result.onDemandSeconds).toBe(0);
    expect(result.spotStarts).toBe(1);
  });

  it("waits less the dearer spot is: at the on-demand price there is nothing to wait for", () => {
    const bits = Array.from({ length: 60 }, (_, i) => (Math.floor(i / 6) % 2 === 0 ? 1 : 0));
    const cheap = simulate(trace(bits), 0, job({ spotUsdPerHour: 0.3 }), policy);
    const dear = simulate(trace(bits), 0, job({ spotUsdPerHour: 3.06 }), policy);
    expect(cheap.spotSeconds).toBeGreaterThan(dear.spotSeconds);
  });

  it("gives the same run twice and does not carry anything from one run to the next", () => {
    const bits = Array.from({ length: 60 }, (_, i) => (i % 7 < 4 ? 1 : 0));
    const first = simulate(trace(bits), 0, job(), policy);
    simulate(trace(new Array<number>(60).fill(0)), 0, job(), policy);
    expect(simulate(trace(bits), 0, job(), policy)).toEqual(first);
  });
});

describe("pool chain", () => {
  it("is a probability distribution from every state, also in longer steps", () => {
    for (const step of [600, 1200, 3600]) {
      const chain = chainOf(DEFAULT_POOL_MODEL, step);
      for (const row of chain.probability) expect(row.reduce((a, b) => a + b, 0)).toBeCloseTo(1, 9);
    }
  });

  it("says that a pool that has been there for hours is less likely to leave than one that has just come", () => {
    const [fresh, old] = [1, 60].map((ticks) => {
      const tracker = new PoolTracker(DEFAULT_POOL_MODEL);
      tracker.observe(false, 1 / 6);
      for (let i = 0; i < ticks; i++) tracker.observe(true, 1 / 6);
      const state = tracker.state();
      return DEFAULT_POOL_MODEL.flip[1]![state.age]![state.share]!;
    });
    expect(old).toBeLessThan(fresh!);
  });

  it("was trained on nothing that overlaps the reported windows", () => {
    const used = DEFAULT_POOL_MODEL.manifest.trainedOn.find((part) => part.group === "aws-2022-10-26-full");
    expect(used?.toTick).toBe(700);
    expect(DEFAULT_POOL_MODEL.manifest.trainedOn.map((part) => part.group)).toEqual(["tod-aws-2020-03-15", "aws-2022-10-26-full"]);
  });
});
