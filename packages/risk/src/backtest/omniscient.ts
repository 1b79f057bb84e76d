/**
 * The cheapest schedule with the whole future known: an exact dynamic programme over (tick, type, progress). It is the floor that every
 * policy is measured against, not something that can be run. Progress is counted in units of gcd(gap, changeover), so it is exact.
 */
import type { Job, RunResult } from "./job.ts";
import type { Trace } from "./trace.ts";

const TYPES = 3;
const SPOT = 1;
const ON_DEMAND = 2;

/** Greatest common divisor of two durations, to a millisecond. */
function commonUnitSeconds(a: number, b: number): number {
  let x = Math.round(a * 1000);
  let y = Math.round(b * 1000);
  while (y > 0) [x, y] = [y, x % y];
  return x / 1000;
}

/** Exact optimum of one window. The changeover is charged on every start, the first included; whole ticks are billed; surplus work is allowed. */
export function omniscient(trace: Trace, startTick: number, job: Job): RunResult {
  const gap = job.gapSeconds;
  const unit = job.changeoverSeconds > 0 ? commonUnitSeconds(gap, job.changeoverSeconds) : gap;
  const perTick = Math.round(gap / unit);
  const perStart = Math.round(job.changeoverSeconds / unit);
  const goal = Math.ceil(job.workSeconds / unit - 1e-9);
  const ticks = Math.floor(job.deadlineSeconds / gap);
  // A start may leave progress below zero until the changeover has run: shift by one start. Columns from `finished` on are final.
  const offset = perStart;
  const finished = goal + offset;
  const width = finished + perTick;
  let cost = new Float64Array(TYPES * width).fill(Number.POSITIVE_INFINITY);
  let next = new Float64Array(TYPES * width);
  const parents = new Uint8Array(ticks * TYPES * width);
  cost[offset] = 0;
  let best = Number.POSITIVE_INFINITY;
  let bestTick = -1;
  let bestState = 0;
  for (let tick = 0; tick < ticks; tick++) {
    next.fill(Number.POSITIVE_INFINITY);
    const at = startTick + tick;
    const hasSpot = trace.available[at] === 1;
    const spotUsd = ((trace.spotUsdPerHour?.[at] ?? job.spotUsdPerHour) * gap) / 3600;
    const onDemandUsd = (job.onDemandUsdPerHour * gap) / 3600;
    const base = tick * TYPES * width;
    for (let from = 0; from < TYPES; from++) {
      for (let to = 0; to < TYPES; to++) {
        if (to === SPOT && !hasSpot) continue;
        const usd = to === SPOT ? spotUsd : to === ON_DEMAND ? onDemandUsd : 0;
        const step = to === 0 ? 0 : perTick - (to === from ? 0 : perStart);
        const lo = from * width;
        const out = to * width;
        for (let q = Math.max(0, -step); q < finished; q++) {
          const c = (cost[lo + q] as number) + usd;
          if (c < (next[out + q + step] as number)) {
            next[out + q + step] = c;
            parents[base + out + q + step] = from;
          }
        }
      }
    }
    [cost, next] = [next, cost];
    for (let type = SPOT; type < TYPES; type++) {
      for (let q = finished; q < width; q++) {
        const c = cost[type * width + q] as number;
        if (c < best - 1e-12) {
          best = c;
          bestTick = tick;
          bestState = type * width + q;
        }
      }
    }
  }
  return unwind(parents, { width, perTick, perStart, bestTick, bestState }, best, job);
}

interface Found {
  readonly width: number;
  readonly perTick: number;
  readonly perStart: number;
  readonly bestTick: number;
  readonly bestState: number;
}

/** Walks the parents back from the best final state to count hours and starts. */
function unwind(parents: Uint8Array, found: Found, costUsd: number, job: Job): RunResult {
  const { width, perTick, perStart } = found;
  let type = Math.floor(found.bestState / width);
  let q = found.bestState % width;
  const ticksOf = [0, 0, 0];
  const startsOf = [0, 0, 0];
  for (let tick = found.bestTick; tick >= 0; tick--) {
    const from = parents[(tick * TYPES + type) * width + q] ?? 0;
    ticksOf[type] = (ticksOf[type] ?? 0) + 1;
    const isStart = type !== 0 && type !== from;
    if (isStart) startsOf[type] = (startsOf[type] ?? 0) + 1;
    if (type !== 0) q -= perTick - (isStart ? perStart : 0);
    type = from;
  }
  const spotSeconds = (ticksOf[SPOT] ?? 0) * job.gapSeconds;
  const onDemandSeconds = (ticksOf[ON_DEMAND] ?? 0) * job.gapSeconds;
  const spotStarts = startsOf[SPOT] ?? 0;
  const onDemandStarts = startsOf[ON_DEMAND] ?? 0;
  return {
    costUsd,
    spotSeconds,
    onDemandSeconds,
    spotProgressSeconds: spotSeconds - spotStarts * job.changeoverSeconds,
    onDemandProgressSeconds: onDemandSeconds - onDemandStarts * job.changeoverSeconds,
    spotStarts,
    onDemandStarts,
    missedDeadline: !Number.isFinite(costUsd),
  };
}
