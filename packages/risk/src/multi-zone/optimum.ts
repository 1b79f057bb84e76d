/**
 * The cheapest multi-zone schedule with the whole future known, by dynamic programming over (tick, place, progress). A lower bound: it may carry
 * a checkpoint for nothing while idle, and rounds every start's delay down to the progress unit.
 */
import type { MultiJob, Zone } from "./market.ts";
import { zonePriceAt } from "./market.ts";

/** Least cost in USD of one window; infinite when no schedule finishes in time. `unitSeconds` divides the gap. */
export function optimumUsd(zones: readonly Zone[], startTick: number, job: MultiJob, unitSeconds: number): number {
  const gap = job.gapSeconds;
  const perTick = Math.round(gap / unitSeconds);
  const goal = Math.ceil(job.workSeconds / unitSeconds - 1e-9);
  const ticks = Math.floor(job.deadlineSeconds / gap);
  const places = 1 + 2 * zones.length;
  const zoneOf = (place: number): number => Math.floor((place - 1) / 2);
  const isSpot = (place: number): boolean => place % 2 === 1;
  const startUnits = (from: number, to: number): number => {
    const extra = from === 0 || zoneOf(from) === zoneOf(to) ? 0 : job.transfer(zoneOf(from), zoneOf(to)).seconds;
    return Math.floor((job.changeoverSeconds + extra) / unitSeconds);
  };
  const offset = Math.ceil((job.changeoverSeconds + 600) / unitSeconds);
  const finished = goal + offset;
  const width = finished + perTick;
  let cost = new Float64Array(places * width).fill(Number.POSITIVE_INFINITY);
  let next = new Float64Array(places * width);
  cost[offset] = 0;
  let best = Number.POSITIVE_INFINITY;
  for (let tick = 0; tick < ticks; tick++) {
    next.fill(Number.POSITIVE_INFINITY);
    const at = startTick + tick;
    // Cheapest way into each progress from anywhere within a region costs the same: idle stands for "no instance".
    for (let to = 0; to < places; to++) {
      const zone = zones[zoneOf(to)];
      if (to > 0 && isSpot(to) && zone?.trace.available[at] !== 1) continue;
      const usd = to === 0 || zone === undefined ? 0 : ((isSpot(to) ? zonePriceAt(zone, at) : zone.onDemandUsdPerHour) * gap) / 3600;
      const out = to * width;
      for (let from = 0; from < places; from++) {
        const isStart = to > 0 && to !== from;
        const step = to === 0 ? 0 : perTick - (isStart ? startUnits(from, to) : 0);
        const paid = usd + (isStart && from > 0 ? job.transfer(zoneOf(from), zoneOf(to)).usd : 0);
        const lo = from * width;
        for (let q = Math.max(0, -step); q < finished; q++) {
          const c = (cost[lo + q] as number) + paid;
          if (c < (next[out + q + step] as number)) next[out + q + step] = c;
        }
      }
    }
    [cost, next] = [next, cost];
    for (let place = 1; place < places; place++)
      for (let q = finished; q < width; q++) best = Math.min(best, cost[place * width + q] as number);
  }
  return best;
}
