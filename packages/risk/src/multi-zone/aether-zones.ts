/**
 * Our policy over several zones. An hour of work has a value, which the plan of the single-zone policy gives (what one more hour of work would
 * cost in the time that is left). A zone is worth that value less its price less what its losses cost, by how often it was lost before
 * while we were in it. It tries zones from the best on, stops at the first that it gets, and leaves a running zone only for one that is better
 * by more than the move costs. What it knows of a zone it has seen itself: prices are public, availability is not.
 */

import { planStepSeconds } from "../backtest/aether-policy.ts";
import { isDeadlineSafe } from "../backtest/deadline-guard.ts";
import { DEFAULT_POOL_MODEL } from "../backtest/default-pool-model.ts";
import type { Choice, Job, TickView } from "../backtest/job.ts";
import { type Plan, RUNS_NOTHING, RUNS_ON_DEMAND, RUNS_SPOT, solvePlan } from "../backtest/plan.ts";
import { chainOf, type PoolModel, PoolTracker } from "../backtest/pool-model.ts";
import type { MultiJob, MultiPolicy, MultiView, Place, Zone } from "./market.ts";

const PRICE_STEP = 0.04;
const PLANS_KEPT = 24;
/** A running instance is left for a better zone only if the gain until its expected end is this many times the cost of moving. */
const MOVE_ABOVE_RATIO = 1.5;
/** A zone that refused is not tried again from a running instance before this has passed. */
const RETRY_SECONDS = 1800;

export function createAetherZonesPolicy(model: PoolModel = DEFAULT_POOL_MODEL): MultiPolicy {
  const plans = new Map<string, Plan>();
  return {
    name: "aether",
    begin(job, zones) {
      const cheapestOnDemand = zones.reduce(
        (best, zone, i) => (zone.onDemandUsdPerHour < (zones[best]?.onDemandUsdPerHour ?? 0) ? i : best),
        0,
      );
      const onDemandUsdPerHour = zones[cheapestOnDemand]?.onDemandUsdPerHour ?? 0;
      const longestTransfer = Math.max(0, ...zones.flatMap((_, i) => zones.map((__, j) => (i === j ? 0 : job.transfer(i, j).seconds))));
      // Any start may have to fetch the checkpoint: the guard and the plans count the longest way.
      const single: Job = {
        ...jobTimes(job),
        changeoverSeconds: job.changeoverSeconds + longestTransfer,
        onDemandUsdPerHour,
        spotUsdPerHour: 0,
      };
      const step = planStepSeconds(model, single);
      const chain = chainOf(model, step);
      const unions = zones.map(() => new PoolTracker(model));
      const triedAt = zones.map(() => Number.NEGATIVE_INFINITY);
      const lifetimes = zones.map(() => new Lifetime());
      const planAt = (spotUsdPerHour: number): Plan => {
        const rung = Math.round(Math.log(Math.max(1e-6, spotUsdPerHour / onDemandUsdPerHour)) / PRICE_STEP);
        const key = [single.workSeconds, single.deadlineSeconds, single.changeoverSeconds, onDemandUsdPerHour, rung].join(" ");
        const plan = plans.get(key) ?? solvePlan(chain, single, onDemandUsdPerHour * Math.exp(rung * PRICE_STEP), step);
        plans.delete(key);
        plans.set(key, plan);
        const oldest = plans.keys().next().value;
        if (plans.size > PLANS_KEPT && oldest !== undefined) plans.delete(oldest);
        return plan;
      };

      let lastRunning = -1;
      return {
        choose(view, tryLaunch): Place {
          const hours = job.gapSeconds / 3600;
          const tick = asTick(view);
          const running = view.current.kind === "spot" ? view.current.zone : -1;
          for (const [i, lifetime] of lifetimes.entries()) lifetime.pass(hours, i === lastRunning, view.wasLost);
          const byPrice = zones.map((_, i) => i).filter((i) => (view.spotUsdPerHour[i] ?? 0) < onDemandUsdPerHour);
          byPrice.sort((a, b) => (view.spotUsdPerHour[a] ?? 0) - (view.spotUsdPerHour[b] ?? 0) || a - b);
          const plan = bestPlan(byPrice, view);
          const value = Math.min(plan.workUsdPerHour, onDemandUsdPerHour);
          const startUsd = (zone: number): number => {
            const transfer = view.dataZone >= 0 && view.dataZone !== zone ? job.transfer(view.dataZone, zone) : { usd: 0, seconds: 0 };
            return transfer.usd + ((job.changeoverSeconds + transfer.seconds) / 3600) * value;
          };
          // What an hour in a zone is worth: the work, less its price, less its share of the next loss.
          const worth = (zone: number): number =>
            value - (view.spotUsdPerHour[zone] ?? 0) - (lifetimes[zone]?.lossesPerHour ?? 1) * (job.changeoverSeconds / 3600) * value;
          const lasting = (zone: number): number => Math.min(1 / (lifetimes[zone]?.lossesPerHour ?? 1), view.remainingSeconds / 3600);
          const gain = (zone: number, over: number): number => (worth(zone) - over) * lasting(zone);
          const ranked = [...byPrice].sort((a, b) => gain(b, 0) - startUsd(b) - (gain(a, 0) - startUsd(a)) || a - b);
          const tried = new Set<number>();
          const attempt = (zone: number): boolean => {
            tried.add(zone);
            triedAt[zone] = view.elapsedSeconds;
            const got = tryLaunch(zone);
            if (!got) lifetimes[zone]?.refuse();
            return got;
          };
          const settle = (place: Place): Place => {
            lastRunning = place.kind === "spot" ? place.zone : -1;
            seen(byPrice, tried, lastRunning);
            return place;
          };
          const canStart = isDeadlineSafe("spot", single, { ...tick, current: "idle" });
          if (running >= 0) {
            const here = worth(running);
            const better = canStart
              ? ranked.find(
                  (zone) =>
                    zone !== running &&
                    view.elapsedSeconds - (triedAt[zone] ?? 0) >= RETRY_SECONDS &&
                    gain(zone, here) > MOVE_ABOVE_RATIO * startUsd(zone),
                )
              : undefined;
            if (better !== undefined && attempt(better)) return settle({ kind: "spot", zone: better });
            if (isDeadlineSafe("spot", single, tick)) return settle(view.current);
          } else if (canStart) {
            const floor = view.current.kind === "on_demand" ? value - onDemandUsdPerHour : plan.waits ? 0 : value - onDemandUsdPerHour;
            for (const zone of ranked) if (gain(zone, floor) > startUsd(zone) && attempt(zone)) return settle({ kind: "spot", zone });
          }
          if (plan.waits && isDeadlineSafe("idle", single, tick)) return settle({ kind: "idle" });
          return settle({ kind: "on_demand", zone: onDemandZone(view, zones, job) });
        },
      };

      /** Books what this tick has shown of each "cheapest m zones": up if one of them runs, down if all of them refused, else nothing. */
      function seen(byPrice: readonly number[], tried: ReadonlySet<number>, ran: number): void {
        const hours = job.gapSeconds / 3600;
        const rank = ran < 0 ? Number.POSITIVE_INFINITY : byPrice.indexOf(ran);
        let allRefused = true;
        for (const [m, zone] of byPrice.entries()) {
          allRefused &&= tried.has(zone) && zone !== ran;
          if (m >= rank) unions[m]?.observe(true, hours);
          else if (allRefused) unions[m]?.observe(false, hours);
        }
      }

      /** The cheapest of the plans for "the cheapest m zones": whether it would wait now, and what an hour of work is worth to it. */
      function bestPlan(byPrice: readonly number[], view: MultiView): { waits: boolean; workUsdPerHour: number } {
        const stepsLeft = Math.max(0, Math.floor((job.deadlineSeconds - view.elapsedSeconds) / step));
        const pending = view.current.kind === "idle" ? 0 : view.pendingDelaySeconds;
        const slack = stepsLeft - (view.remainingSeconds + pending) / step;
        const delay = single.changeoverSeconds / step;
        const onDemandNow = (onDemandUsdPerHour * step) / 3600;
        let best = { waits: false, workUsdPerHour: onDemandUsdPerHour };
        let bestUsd = Number.POSITIVE_INFINITY;
        let sum = 0;
        for (const [m, zone] of byPrice.entries()) {
          sum += view.spotUsdPerHour[zone] ?? 0;
          const tracker = unions[m];
          if (tracker === undefined) continue;
          const plan = planAt(sum / (m + 1));
          const state = chain.indexOf(tracker.state());
          const mode = view.current.kind === "spot" ? RUNS_SPOT : view.current.kind === "on_demand" ? RUNS_ON_DEMAND : RUNS_NOTHING;
          const usd = plan.ahead(stepsLeft, slack, state, mode);
          if (usd >= bestUsd) continue;
          bestUsd = usd;
          const wait = plan.ahead(stepsLeft - 1, slack - 1, state, RUNS_NOTHING);
          const run = view.current.kind === "on_demand" ? slack : slack - delay;
          const onDemand = onDemandNow + plan.ahead(stepsLeft - 1, run, state, RUNS_ON_DEMAND);
          best = { waits: wait < onDemand, workUsdPerHour: ((plan.ahead(stepsLeft, slack - 1, state, mode) - usd) * 3600) / step };
        }
        return best;
      }
    },
  };
}

/** Losses of one zone while we were in it, with a memory of two days; one loss in six hours is believed before anything was seen. */
class Lifetime {
  #losses = 1;
  #hours = 6;
  pass(hours: number, isRunning: boolean, wasLost: boolean): void {
    const keep = Math.exp(-hours / MEMORY_HOURS);
    this.#losses = 1 + (this.#losses - 1) * keep + (isRunning && wasLost ? 1 : 0);
    this.#hours = 6 + (this.#hours - 6) * keep + (isRunning ? hours : 0);
  }
  /** A refusal says a little too: a zone that comes and goes refuses often. */
  refuse(): void {
    this.#losses += REFUSAL_WEIGHT;
  }
  get lossesPerHour(): number {
    return this.#losses / this.#hours;
  }
}
const MEMORY_HOURS = 48;
const REFUSAL_WEIGHT = 0.3;

/** On-demand is bought where it is cheapest with the way there; never moved once it runs. */
function onDemandZone(view: MultiView, zones: readonly Zone[], job: MultiJob): number {
  if (view.current.kind === "on_demand") return view.current.zone;
  const hours = view.remainingSeconds / 3600;
  const usd = (i: number): number =>
    (zones[i]?.onDemandUsdPerHour ?? 0) * hours + (view.dataZone >= 0 && view.dataZone !== i ? job.transfer(view.dataZone, i).usd : 0);
  return zones.reduce((best, _, i) => (usd(i) < usd(best) ? i : best), 0);
}

const jobTimes = (job: MultiJob): Pick<Job, "workSeconds" | "deadlineSeconds" | "gapSeconds"> => ({
  workSeconds: job.workSeconds,
  deadlineSeconds: job.deadlineSeconds,
  gapSeconds: job.gapSeconds,
});

/** The view of the single-zone deadline guard. */
function asTick(view: MultiView): TickView {
  const current: Choice = view.current.kind;
  return {
    elapsedSeconds: view.elapsedSeconds,
    doneSeconds: 0,
    remainingSeconds: view.remainingSeconds,
    current,
    pendingDelaySeconds: view.pendingDelaySeconds,
    isSpotAvailable: true,
    spotUsdPerHour: 0,
  };
}
