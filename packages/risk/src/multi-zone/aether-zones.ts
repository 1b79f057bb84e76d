/**
 * Our policy over several zones. An hour of work has a value: what it would cost in the time that is left (work-value.ts, union-plan.ts). A zone
 * is worth that value less its price, less its start spread over the time that it is believed to last (zone-belief.ts). When nothing
 * runs, zones are tried from the best on and the first that is got is used; a running zone is left only for one that saves more than the
 * move and the next loss cost. What is known of a zone was seen by launching there: prices are public, availability is not.
 */
import { isDeadlineSafe } from "../backtest/deadline-guard.ts";
import { DEFAULT_POOL_MODEL } from "../backtest/default-pool-model.ts";
import type { Job, TickView } from "../backtest/job.ts";
import type { PoolModel } from "../backtest/pool-model.ts";
import type { MultiJob, MultiPolicy, MultiView, Place, Zone } from "./market.ts";
import { PlanShelf, UnionPlan } from "./union-plan.ts";
import { workValue } from "./work-value.ts";
import { beliefTables, ZoneBelief } from "./zone-belief.ts";

/** One set of constants for all markets; the result hardly depends on any of them (docs/decisions/0010-risk-spot-policy.md). */
const TUNED = {
  /** A zone is not believed to last longer than this: by then a better one may have come. */
  longestLastingHours: 12,
  /** A running zone is left when the gain exceeds this share of the move's and the next start's cost. */
  moveMargin: 0.2,
  /** Changeovers kept in reserve when the need for work is counted. */
  reservedChangeovers: 10,
  /** With no slack left an hour of work is worth more than on-demand: it is what the rest can still be done on spot for. At most so often. */
  mostOnDemandPrices: 5,
  /** On-demand is not bought while the job is so many changeovers ahead of the straight line from start to deadline. */
  aheadChangeovers: 3,
  /** How much of the time lost by waiting for the zone that holds the checkpoint is counted against a move elsewhere. */
  waitWeight: 0.6,
} as const;

export function createAetherZonesPolicy(model: PoolModel = DEFAULT_POOL_MODEL): MultiPolicy {
  const shelf = new PlanShelf();
  return { name: "aether", begin: (job, zones) => beginRun(model, shelf, job, zones) };
}

function beginRun(model: PoolModel, shelf: PlanShelf, job: MultiJob, zones: readonly Zone[]): ReturnType<MultiPolicy["begin"]> {
  const onDemandUsdPerHour = Math.min(...zones.map((zone) => zone.onDemandUsdPerHour));
  const longestTransfer = Math.max(0, ...zones.flatMap((_, i) => zones.map((__, j) => (i === j ? 0 : job.transfer(i, j).seconds))));
  // Any start may have to fetch the checkpoint: the guard and the plans count the longest way.
  const single: Job = {
    workSeconds: job.workSeconds,
    deadlineSeconds: job.deadlineSeconds,
    gapSeconds: job.gapSeconds,
    changeoverSeconds: job.changeoverSeconds + longestTransfer,
    onDemandUsdPerHour,
    spotUsdPerHour: 0,
  };
  const stepsIn = (seconds: number): number => Math.max(1, Math.ceil(seconds / job.gapSeconds));
  const tables = beliefTables(model, job.gapSeconds, stepsIn(job.workSeconds), stepsIn(job.deadlineSeconds));
  const beliefs = zones.map(() => new ZoneBelief(tables));
  const unions = new UnionPlan(model, single, zones.length, shelf);
  const changeoverHours = job.changeoverSeconds / 3600;
  let lastRunning = -1;

  return {
    choose(view, tryLaunch): Place {
      const tick = asTick(view);
      const running = view.current.kind === "spot" ? view.current.zone : -1;
      for (const [zone, belief] of beliefs.entries()) belief.pass(zone === lastRunning, view.wasLost);
      if (running >= 0) beliefs[running]?.see(true);
      else if (view.wasLost) beliefs[lastRunning]?.see(false);

      const price = (zone: number): number => view.spotUsdPerHour[zone] ?? 0;
      const byPrice = zones.map((_, zone) => zone).filter((zone) => price(zone) < onDemandUsdPerHour);
      byPrice.sort((a, b) => price(a) - price(b) || a - b);
      const stepsLeft = Math.floor((job.deadlineSeconds - view.elapsedSeconds) / job.gapSeconds);
      const upShare = (zone: number): number => beliefs[zone]?.upShare(stepsLeft) ?? 0;
      const lastingSteps = Math.min(stepsIn(view.remainingSeconds), stepsIn(TUNED.longestLastingHours * 3600));
      const lasting = (zone: number): number => Math.max(1e-6, beliefs[zone]?.lastingHours(lastingSteps) ?? 0);
      const advice = unions.advise(byPrice, view, upShare);
      const value = valueOfWork(advice.workUsdPerHour);
      const startUsd = (zone: number): number => {
        const transfer = view.dataZone >= 0 && view.dataZone !== zone ? job.transfer(view.dataZone, zone) : { usd: 0, seconds: 0 };
        return transfer.usd + (changeoverHours + transfer.seconds / 3600) * value;
      };
      const nextStartUsd = changeoverHours * value;

      const tried = new Set<number>();
      const attempt = (zone: number): boolean => {
        tried.add(zone);
        const got = tryLaunch(zone);
        beliefs[zone]?.see(got);
        return got;
      };
      const settle = (place: Place): Place => {
        lastRunning = place.kind === "spot" ? place.zone : -1;
        unions.see(byPrice, tried, lastRunning);
        return place;
      };
      const canStart = isDeadlineSafe("spot", single, { ...tick, current: "idle" });

      if (running >= 0) {
        const better = canStart ? rank(byPrice, (zone) => (zone === running ? Number.NEGATIVE_INFINITY : gainOfMove(zone))) : [];
        for (const { zone, usd } of better)
          if (usd > TUNED.moveMargin * (startUsd(zone) + nextStartUsd) && attempt(zone)) return settle({ kind: "spot", zone });
        if (isDeadlineSafe("spot", single, tick)) return settle(view.current);
      } else if (canStart) {
        // Where on-demand would run instead, a zone need only be better than that.
        const floor = advice.waits || view.current.kind === "on_demand" ? 0 : Math.min(0, value - onDemandUsdPerHour);
        const net = (zone: number): number => value - price(zone) - startUsd(zone) / lasting(zone);
        for (const { zone, usd } of rank(byPrice, net))
          if (usd > floor && !isWaitingBetter(zone) && attempt(zone)) return settle({ kind: "spot", zone });
      }
      const waits = advice.waits || (view.current.kind !== "on_demand" && isAhead());
      if (waits && isDeadlineSafe("idle", single, tick)) return settle({ kind: "idle" });
      return settle({ kind: "on_demand", zone: onDemandZone(view, zones, job) });

      function isAhead(): boolean {
        const doneSeconds = job.workSeconds - view.remainingSeconds;
        const lineSeconds = (view.elapsedSeconds * job.workSeconds) / job.deadlineSeconds;
        return doneSeconds >= lineSeconds + TUNED.aheadChangeovers * job.changeoverSeconds;
      }

      function valueOfWork(planned: number): number {
        const need =
          (view.remainingSeconds + TUNED.reservedChangeovers * job.changeoverSeconds) /
          Math.max(1, job.deadlineSeconds - view.elapsedSeconds);
        const supply = zones.map((_, zone) => {
          const useful = 1 - changeoverHours / Math.max(lasting(zone), changeoverHours * 1.05);
          return { up: upShare(zone), useful, usdPerHour: price(zone) / useful };
        });
        const guessed = workValue(supply, need, onDemandUsdPerHour);
        const capped = Math.min(planned, TUNED.mostOnDemandPrices * onDemandUsdPerHour);
        // Where every guess needs on-demand only the plan knows how much slack is worth.
        return guessed > 0.99 * onDemandUsdPerHour ? capped : Math.min(capped, guessed);
      }

      /** Over the time that `to` lasts: its lower price, less the move, less the next start, of which staying would need a part too. */
      function gainOfMove(to: number): number {
        const hours = lasting(to);
        return (price(running) - price(to)) * hours + nextStartUsd * (hours / lasting(running) - 1) - startUsd(to);
      }

      /** The checkpoint's own zone is dear to leave: its return may be worth waiting for. */
      function isWaitingBetter(zone: number): boolean {
        const home = view.dataZone;
        if (!advice.waits || home < 0 || home === zone || view.current.kind !== "idle") return false;
        const waitUsd = (value - price(zone)) * (beliefs[home]?.hoursUntilBack ?? 0);
        return startUsd(zone) - startUsd(home) > TUNED.waitWeight * waitUsd;
      }
    },
  };
}

function rank(zones: readonly number[], worth: (zone: number) => number): { zone: number; usd: number }[] {
  return zones.map((zone) => ({ zone, usd: worth(zone) })).sort((a, b) => b.usd - a.usd || a.zone - b.zone);
}

/** On-demand is bought where it is cheapest with the way there; never moved once it runs. */
function onDemandZone(view: MultiView, zones: readonly Zone[], job: MultiJob): number {
  if (view.current.kind === "on_demand") return view.current.zone;
  const hours = view.remainingSeconds / 3600;
  const usd = (i: number): number =>
    (zones[i]?.onDemandUsdPerHour ?? 0) * hours + (view.dataZone >= 0 && view.dataZone !== i ? job.transfer(view.dataZone, i).usd : 0);
  return zones.reduce((best, _, i) => (usd(i) < usd(best) ? i : best), 0);
}

/** The view of the single-zone deadline guard. */
const asTick = (view: MultiView): TickView => ({
  elapsedSeconds: view.elapsedSeconds,
  doneSeconds: 0,
  remainingSeconds: view.remainingSeconds,
  current: view.current.kind,
  pendingDelaySeconds: view.pendingDelaySeconds,
  isSpotAvailable: true,
  spotUsdPerHour: 0,
});
