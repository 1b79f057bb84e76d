/**
 * The single-zone plan, for "the cheapest m zones" seen as one pool: up when any of them is. The cheapest of these plans says whether to wait
 * while nothing has capacity, and what an hour of work costs in the time that is left.
 */
import { planStepSeconds } from "../backtest/aether-policy.ts";
import type { Job } from "../backtest/job.ts";
import { type Plan, RUNS_NOTHING, RUNS_ON_DEMAND, RUNS_SPOT, solvePlan } from "../backtest/plan.ts";
import { chainOf, type PoolChain, type PoolModel, PoolTracker } from "../backtest/pool-model.ts";
import type { MultiView } from "./market.ts";

/** Prices are put on a geometric grid, so that a plan does not depend on the path that the price took. */
const PRICE_STEP = 0.04;
const PLANS_KEPT = 24;

/** Plans by job and price; shared between runs. */
export class PlanShelf {
  readonly #plans = new Map<string, Plan>();
  at(chain: PoolChain, job: Job, spotUsdPerHour: number, stepSeconds: number): Plan {
    const rung = Math.round(Math.log(Math.max(1e-6, spotUsdPerHour / job.onDemandUsdPerHour)) / PRICE_STEP);
    const key = [job.workSeconds, job.deadlineSeconds, job.changeoverSeconds, job.onDemandUsdPerHour, rung].join(" ");
    const plan = this.#plans.get(key) ?? solvePlan(chain, job, job.onDemandUsdPerHour * Math.exp(rung * PRICE_STEP), stepSeconds);
    this.#plans.delete(key);
    this.#plans.set(key, plan);
    const oldest = this.#plans.keys().next().value;
    if (this.#plans.size > PLANS_KEPT && oldest !== undefined) this.#plans.delete(oldest);
    return plan;
  }
}

export interface UnionAdvice {
  /** Waiting is expected to cost less than on-demand now. */
  readonly waits: boolean;
  readonly workUsdPerHour: number;
}

export class UnionPlan {
  readonly #unions: readonly PoolTracker[];
  readonly #chain: PoolChain;
  readonly #step: number;
  readonly #job: Job;
  readonly #shelf: PlanShelf;

  constructor(model: PoolModel, job: Job, zones: number, shelf: PlanShelf) {
    this.#step = planStepSeconds(model, job);
    this.#chain = chainOf(model, this.#step);
    this.#unions = Array.from({ length: zones }, () => new PoolTracker(model));
    this.#job = job;
    this.#shelf = shelf;
  }

  /** Books what a tick has shown of each union: up if one of its zones runs, down if all of them refused, else nothing. */
  see(byPrice: readonly number[], tried: ReadonlySet<number>, ran: number): void {
    const hours = this.#job.gapSeconds / 3600;
    const rank = ran < 0 ? Number.POSITIVE_INFINITY : byPrice.indexOf(ran);
    let allRefused = true;
    for (const [m, zone] of byPrice.entries()) {
      allRefused &&= tried.has(zone) && zone !== ran;
      if (m >= rank) this.#unions[m]?.observe(true, hours);
      else if (allRefused) this.#unions[m]?.observe(false, hours);
    }
  }

  /** @param upShare expected share of the time left in which a zone has capacity: how often each zone's price is paid. */
  advise(byPrice: readonly number[], view: MultiView, upShare: (zone: number) => number): UnionAdvice {
    const step = this.#step;
    const { deadlineSeconds, changeoverSeconds, onDemandUsdPerHour } = this.#job;
    const stepsLeft = Math.max(0, Math.floor((deadlineSeconds - view.elapsedSeconds) / step));
    const pending = view.current.kind === "idle" ? 0 : view.pendingDelaySeconds;
    const slack = stepsLeft - (view.remainingSeconds + pending) / step;
    const mode = view.current.kind === "spot" ? RUNS_SPOT : view.current.kind === "on_demand" ? RUNS_ON_DEMAND : RUNS_NOTHING;
    let best: UnionAdvice = { waits: false, workUsdPerHour: onDemandUsdPerHour };
    let bestUsd = Number.POSITIVE_INFINITY;
    let nobodyUp = 1;
    let used = 0;
    let usedUsd = 0;
    for (const [m, zone] of byPrice.entries()) {
      const up = upShare(zone);
      used += nobodyUp * up;
      usedUsd += nobodyUp * up * (view.spotUsdPerHour[zone] ?? 0);
      nobodyUp *= 1 - up;
      const tracker = this.#unions[m];
      if (tracker === undefined || used <= 0) continue;
      const plan = this.#shelf.at(this.#chain, this.#job, usedUsd / used, step);
      const state = this.#chain.indexOf(tracker.state());
      const usd = plan.ahead(stepsLeft, slack, state, mode);
      if (usd >= bestUsd) continue;
      bestUsd = usd;
      const wait = plan.ahead(stepsLeft - 1, slack - 1, state, RUNS_NOTHING);
      const run = view.current.kind === "on_demand" ? slack : slack - changeoverSeconds / step;
      const onDemand = (onDemandUsdPerHour * step) / 3600 + plan.ahead(stepsLeft - 1, run, state, RUNS_ON_DEMAND);
      const moreWork = plan.ahead(stepsLeft, slack - 1, state, mode);
      best = { waits: wait < onDemand, workUsdPerHour: ((moreWork - usd) * 3600) / step };
    }
    return best;
  }
}
