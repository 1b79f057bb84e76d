/**
 * Our policy for one pool: each tick, compare the expected cost of waiting, running on spot and running on on-demand, and take the cheapest that
 * keeps the deadline safe. It sees the pool from the job's start on and nothing before; the chain behind the expectation is the same for all
 * pools. What it adds to Uniform Progress: slack is spent where it buys most (a pool that has just come back after long absence is likely to
 * leave again soon, one that has been there for hours is not), instead of on a straight line.
 */
import { isDeadlineSafe } from "./deadline-guard.ts";
import { DEFAULT_POOL_MODEL } from "./default-pool-model.ts";
import type { Choice, Job, Policy } from "./job.ts";
import { type Plan, RUNS_NOTHING, RUNS_ON_DEMAND, RUNS_SPOT, solvePlan } from "./plan.ts";
import { chainOf, type PoolChain, type PoolModel, PoolTracker } from "./pool-model.ts";

/** A plan is solved again when the spot price has moved by more than this since it was solved. */
const PRICE_STEP = 0.02;
/** Plans have at most this many steps: a longer job is planned in longer steps. */
const MOST_STEPS = 600;
/** Plans kept: a large one is about 100 MB. */
const PLANS_KEPT = 3;

/** Length of a planning step for a job: the model's own, or a multiple of it for long jobs. */
export function planStepSeconds(model: PoolModel, job: Job): number {
  return model.stepSeconds * Math.max(1, Math.ceil(job.deadlineSeconds / (model.stepSeconds * MOST_STEPS)));
}

/** Makes the policy; plans are shared between its runs, since they depend on the job and the price alone. */
export function createAetherPolicy(model: PoolModel = DEFAULT_POOL_MODEL): Policy {
  const chains = new Map<number, PoolChain>();
  const plans = new Map<string, Plan>();

  const planFor = (job: Job, spotUsdPerHour: number): { plan: Plan; chain: PoolChain } => {
    const step = planStepSeconds(model, job);
    let chain = chains.get(step);
    if (chain === undefined) {
      chain = chainOf(model, step);
      chains.set(step, chain);
    }
    // Prices are put on a geometric grid, so that a plan does not depend on the path that the price took.
    const rung = Math.round(Math.log(spotUsdPerHour / job.onDemandUsdPerHour) / PRICE_STEP);
    const gridPrice = spotUsdPerHour > 0 ? job.onDemandUsdPerHour * Math.exp(rung * PRICE_STEP) : 0;
    const key = [job.workSeconds, job.deadlineSeconds, job.changeoverSeconds, job.onDemandUsdPerHour, rung].join(" ");
    let plan = plans.get(key);
    if (plan === undefined) {
      plan = solvePlan(chain, job, gridPrice, step);
      const oldest = plans.keys().next().value;
      if (plans.size >= PLANS_KEPT && oldest !== undefined) plans.delete(oldest);
    } else plans.delete(key);
    plans.set(key, plan);
    return { plan, chain };
  };

  return {
    name: "aether",
    begin(job) {
      const tracker = new PoolTracker(model);
      return {
        choose(view): Choice {
          tracker.observe(view.isSpotAvailable, job.gapSeconds / 3600);
          const { plan, chain } = planFor(job, view.spotUsdPerHour);
          const step = plan.stepSeconds;
          const state = chain.indexOf(tracker.state());
          const stepsLeft = Math.max(0, Math.floor((job.deadlineSeconds - view.elapsedSeconds) / step));
          const pending = view.current === "idle" ? 0 : view.pendingDelaySeconds;
          const slack = stepsLeft - (view.remainingSeconds + pending) / step;
          const delay = job.changeoverSeconds / step;
          const after = (cost: number, slackAfter: number, mode: number): number =>
            cost + plan.ahead(stepsLeft - 1, slackAfter, state, mode);
          const onDemandUsd = (job.onDemandUsdPerHour * step) / 3600;
          const spotUsd = (view.spotUsdPerHour * step) / 3600;
          let choice: Choice = "on_demand";
          let cost = after(onDemandUsd, view.current === "on_demand" ? slack : slack - delay, RUNS_ON_DEMAND);
          if (view.isSpotAvailable) {
            const spot = after(spotUsd, view.current === "spot" ? slack : slack - delay, RUNS_SPOT);
            if (spot < cost && isDeadlineSafe("spot", job, view)) {
              choice = "spot";
              cost = spot;
            }
          }
          const wait = after(0, slack - 1, RUNS_NOTHING);
          if (wait < cost && isDeadlineSafe("idle", job, view)) choice = "idle";
          return choice;
        },
      };
    },
  };
}
