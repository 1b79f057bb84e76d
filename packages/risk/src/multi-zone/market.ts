/**
 * Several zones at once: the single-zone simulator's ticks, whole-tick billing and changeover, with a place. Moving the checkpoint to another
 * region costs egress and transfer time. Nobody is told for free which zones have spot: a policy finds out by trying to launch, and a launch
 * that succeeds is what it runs for this tick. A failed try costs nothing, as on the real clouds.
 */
import type { Trace } from "../backtest/trace.ts";

export interface Zone {
  readonly name: string;
  readonly region: string;
  readonly trace: Trace;
  readonly onDemandUsdPerHour: number;
  /** Used where the trace has no prices. */
  readonly spotUsdPerHour: number;
}

export interface Transfer {
  readonly usd: number;
  readonly seconds: number;
}

export interface MultiJob {
  readonly workSeconds: number;
  readonly deadlineSeconds: number;
  readonly changeoverSeconds: number;
  readonly gapSeconds: number;
  /** Cost and extra time of bringing the checkpoint from one zone to another, by index in `zones`. */
  transfer(from: number, to: number): Transfer;
}

export type Place = { readonly kind: "idle" } | { readonly kind: "spot" | "on_demand"; readonly zone: number };

export interface MultiView {
  elapsedSeconds: number;
  remainingSeconds: number;
  /** What runs, after a loss at the start of this tick. */
  current: Place;
  /** True if the last tick's spot instance was lost at the start of this one. */
  wasLost: boolean;
  pendingDelaySeconds: number;
  /** Zone of the last instance, where the checkpoint is; -1 before the first. */
  dataZone: number;
  /** Spot prices are public: the price of every zone in this tick. */
  readonly spotUsdPerHour: Float64Array;
}

export interface MultiPolicy {
  readonly name: string;
  begin(job: MultiJob, zones: readonly Zone[]): { choose(view: MultiView, tryLaunch: (zone: number) => boolean): Place };
}

export interface MultiResult {
  readonly costUsd: number;
  readonly egressUsd: number;
  readonly spotSeconds: number;
  readonly onDemandSeconds: number;
  readonly starts: number;
  readonly losses: number;
  readonly moves: number;
  readonly finishSeconds: number;
  readonly missedDeadline: boolean;
}

const IDLE: Place = { kind: "idle" };
const EPSILON_SECONDS = 1e-3;

export const zonePriceAt = (zone: Zone, tick: number): number => zone.trace.spotUsdPerHour?.[tick] ?? zone.spotUsdPerHour;

/** Runs one policy over one window. Throws when it runs spot that it did not get. */
export function simulateZones(zones: readonly Zone[], startTick: number, job: MultiJob, policy: MultiPolicy): MultiResult {
  const gap = job.gapSeconds;
  const run = policy.begin(job, zones);
  const view: MultiView = {
    elapsedSeconds: 0,
    remainingSeconds: job.workSeconds,
    current: IDLE,
    wasLost: false,
    pendingDelaySeconds: 0,
    dataZone: -1,
    spotUsdPerHour: new Float64Array(zones.length),
  };
  let previous: Place = IDLE;
  let delay = 0;
  let done = 0;
  let computeUsd = 0;
  let egressUsd = 0;
  let spotTicks = 0;
  let onDemandTicks = 0;
  let starts = 0;
  let losses = 0;
  let moves = 0;
  let finishSeconds = Number.POSITIVE_INFINITY;
  const lastTick = 2 * Math.ceil(job.deadlineSeconds / gap) + 2;
  for (let tick = 0; tick <= lastTick; tick++) {
    if (previous.kind !== "idle") {
      const worked = Math.max(gap - delay, 0);
      delay = Math.max(0, delay - (gap - worked));
      if (delay < EPSILON_SECONDS) delay = 0;
      done += Math.min(worked, job.workSeconds - done);
    }
    if (job.workSeconds - done <= EPSILON_SECONDS) {
      finishSeconds = tick * gap;
      break;
    }
    const at = startTick + tick;
    const has = (zone: number): boolean => zones[zone]?.trace.available[at] === 1;
    const wasLost = previous.kind === "spot" && !has(previous.zone);
    if (wasLost) losses++;
    const current = wasLost ? IDLE : previous;
    for (const [i, zone] of zones.entries()) view.spotUsdPerHour[i] = zonePriceAt(zone, at);
    view.elapsedSeconds = tick * gap;
    view.remainingSeconds = job.workSeconds - done;
    view.current = current;
    view.wasLost = wasLost;
    view.pendingDelaySeconds = delay;
    let got = -1;
    const place = run.choose(view, (zone) => {
      if (got >= 0) throw new RangeError(`policy ${policy.name} tried zone ${zone} after it had got zone ${got}`);
      if (!has(zone)) return false;
      got = zone;
      return true;
    });
    const stays = samePlace(place, current);
    if (place.kind === "spot" && !stays && place.zone !== got)
      throw new RangeError(`policy ${policy.name} runs spot in a zone that it did not get`);
    if (got >= 0 && !(place.kind === "spot" && place.zone === got))
      throw new RangeError(`policy ${policy.name} got a launch and did not use it`);
    if (!stays && place.kind !== "idle") {
      const transfer =
        view.dataZone >= 0 && view.dataZone !== place.zone ? job.transfer(view.dataZone, place.zone) : { usd: 0, seconds: 0 };
      if (view.dataZone >= 0 && view.dataZone !== place.zone) moves++;
      egressUsd += transfer.usd;
      delay = job.changeoverSeconds + transfer.seconds;
      starts++;
      view.dataZone = place.zone;
    }
    if (place.kind === "spot") {
      computeUsd += ((view.spotUsdPerHour[place.zone] ?? 0) * gap) / 3600;
      spotTicks++;
    } else if (place.kind === "on_demand") {
      computeUsd += ((zones[place.zone]?.onDemandUsdPerHour ?? 0) * gap) / 3600;
      onDemandTicks++;
    }
    previous = place;
  }
  return {
    costUsd: computeUsd + egressUsd,
    egressUsd,
    spotSeconds: spotTicks * gap,
    onDemandSeconds: onDemandTicks * gap,
    starts,
    losses,
    moves,
    finishSeconds,
    missedDeadline: finishSeconds > job.deadlineSeconds + EPSILON_SECONDS,
  };
}

export function samePlace(a: Place, b: Place): boolean {
  return a.kind === b.kind && (a.kind === "idle" || (b.kind !== "idle" && a.zone === b.zone));
}
