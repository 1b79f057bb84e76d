/**
 * The expected cost of finishing from any point on, by dynamic programming over the pool chain: time left, slack left, what runs, and what is
 * known of the pool. It assumes that the pool behaves like the training pools and knows nothing else of the future; the deadline does not
 * depend on it (deadline-guard.ts holds that alone).
 */
import type { Job } from "./job.ts";
import type { PoolChain } from "./pool-model.ts";

export const RUNS_NOTHING = 0;
export const RUNS_SPOT = 1;
export const RUNS_ON_DEMAND = 2;
const MODES = 3;
const NEVER = 1e9;

export interface Plan {
  readonly stepSeconds: number;
  /**
   * Expected cost to go, in USD, one step from now: `stepsLeft` whole steps will be left, `slack` of them (fractions allowed) more than the
   * remaining work needs, `mode` will have been running; the pool is in `state` now and moves once. 1e9 where the deadline cannot be met.
   */
  ahead(stepsLeft: number, slack: number, state: number, mode: number): number;
}

/** Solves the plan for a job at one spot price. Time about steps x slack x states; 552 x 264 x 60 takes 1.0 s and 105 MB. */
export function solvePlan(chain: PoolChain, job: Job, spotUsdPerHour: number, stepSeconds: number): Plan {
  const states = chain.states;
  const steps = Math.max(1, Math.floor(job.deadlineSeconds / stepSeconds));
  const workSteps = Math.min(steps, Math.ceil(job.workSeconds / stepSeconds - 1e-9));
  const slackSteps = steps - workSteps;
  const width = slackSteps + 1;
  const delay = job.changeoverSeconds / stepSeconds;
  const delayWhole = Math.floor(delay);
  const delayRest = delay - delayWhole;
  const spotUsd = (spotUsdPerHour * stepSeconds) / 3600;
  const onDemandUsd = (job.onDemandUsdPerHour * stepSeconds) / 3600;
  const layer = width * states * MODES;
  const value = new Float32Array((steps + 1) * layer);
  const expected = new Float64Array(layer);

  /** Expected cost after a start, which costs `delay` of slack; between whole steps it is interpolated. */
  const afterStart = (slack: number, state: number, mode: number): number => {
    const whole = slack - delayWhole;
    if (whole < 0 || (delayRest > 0 && whole < 1)) return NEVER;
    const near = expected[(whole * states + state) * MODES + mode] as number;
    if (delayRest === 0) return near;
    return near * (1 - delayRest) + (expected[((whole - 1) * states + state) * MODES + mode] as number) * delayRest;
  };

  for (let left = 1; left <= steps; left++) {
    expectInto(expected, value.subarray((left - 1) * layer, left * layer), chain, width);
    for (let slack = 0; slack <= slackSteps; slack++) {
      // No work left: nothing more to pay. (Fresh arrays are zero.)
      if (left - slack <= 0) continue;
      for (let state = 0; state < states; state++) {
        const at = (slack * states + state) * MODES;
        const out = left * layer + at;
        const hasSpot = state >= chain.firstAvailable;
        const startOnDemand = onDemandUsd + afterStart(slack, state, RUNS_ON_DEMAND);
        const stayOnDemand = onDemandUsd + (expected[at + RUNS_ON_DEMAND] as number);
        const wait = slack - 1 >= delay ? (expected[at - states * MODES] as number) : NEVER;
        const startSpot = hasSpot && slack - delay >= delay ? spotUsd + afterStart(slack, state, RUNS_SPOT) : NEVER;
        const staySpot = hasSpot && slack >= delay ? spotUsd + (expected[at + RUNS_SPOT] as number) : NEVER;
        const fromNothing = Math.min(wait, startSpot, startOnDemand, NEVER);
        value[out] = fromNothing;
        value[out + RUNS_SPOT] = hasSpot ? Math.min(wait, staySpot, startOnDemand, NEVER) : fromNothing;
        value[out + RUNS_ON_DEMAND] = Math.min(wait, startSpot, stayOnDemand, NEVER);
      }
    }
  }

  return {
    stepSeconds,
    ahead(stepsLeft, slack, state, mode) {
      if (slack < 0) return NEVER;
      if (stepsLeft <= 0) return 0;
      const left = Math.min(stepsLeft, steps);
      const work = left - slack;
      if (work <= 1e-6) return 0;
      // The last step is billed whole: without this, a sliver of work looks nearly free and is put off until only on-demand can do it.
      const held = Math.min(work < 1 ? left - 1 : slack, slackSteps);
      const low = Math.floor(held);
      const high = Math.min(slackSteps, low + 1);
      const next = chain.next[state];
      const probability = chain.probability[state];
      if (next === undefined || probability === undefined) throw new RangeError(`no such pool state: ${state}`);
      let atLow = 0;
      let atHigh = 0;
      for (let i = 0; i < next.length; i++) {
        const p = probability[i] as number;
        const to = next[i] as number;
        atLow += p * (value[left * layer + (low * states + to) * MODES + mode] as number);
        atHigh += p * (value[left * layer + (high * states + to) * MODES + mode] as number);
      }
      return atLow + (atHigh - atLow) * (held - low);
    },
  };
}

/** expected[slack][state][mode] = the chain's mean of the next layer. */
function expectInto(expected: Float64Array, nextLayer: Float32Array, chain: PoolChain, width: number): void {
  const states = chain.states;
  for (let state = 0; state < states; state++) {
    const next = chain.next[state] as Uint16Array;
    const probability = chain.probability[state] as Float64Array;
    for (let slack = 0; slack < width; slack++) {
      let nothing = 0;
      let spot = 0;
      let onDemand = 0;
      for (let i = 0; i < next.length; i++) {
        const p = probability[i] as number;
        const from = (slack * states + (next[i] as number)) * MODES;
        nothing += p * (nextLayer[from] as number);
        spot += p * (nextLayer[from + RUNS_SPOT] as number);
        onDemand += p * (nextLayer[from + RUNS_ON_DEMAND] as number);
      }
      const at = (slack * states + state) * MODES;
      expected[at] = nothing;
      expected[at + RUNS_SPOT] = spot;
      expected[at + RUNS_ON_DEMAND] = onDemand;
    }
  }
}
