/**
 * Recorded pools as the history that `replay` reads: at each tick what was there, what it cost, and how likely its loss within the policy's
 * horizon was, as the model would have assessed it then from what had been seen by then.
 */
import { type AssessSettings, assess, DEFAULT_ASSESS_SETTINGS } from "../assess/assess.ts";
import type { HazardModel } from "../assess/hazard-model.ts";
import { probabilityWithin } from "../assess/horizon.ts";
import { type RecordedPool, rowsOf } from "../train/rows.ts";
import type { PoolTick, ReplayHistory } from "./replay.ts";

const TICK_SECONDS = 600;

/** Pools of one group: same tick length, same beginning. `spotUsdPerHour` where a trace has no prices. Throws RangeError otherwise. */
export function historyOf(
  pools: readonly RecordedPool[],
  model: HazardModel,
  horizonSeconds: number,
  spotUsdPerHour: number,
  settings: AssessSettings = DEFAULT_ASSESS_SETTINGS,
): ReplayHistory {
  const [first] = pools;
  if (first === undefined) throw new RangeError("no pools to replay");
  if (pools.some(({ trace, startSeconds }) => trace.gapSeconds !== first.trace.gapSeconds || startSeconds !== first.startSeconds))
    throw new RangeError("pools that are replayed together must have been recorded together");
  const stride = Math.max(1, Math.round(TICK_SECONDS / first.trace.gapSeconds));
  const assessed = new Map<string, number>();
  for (const row of rowsOf(pools))
    assessed.set(`${row.pair} ${row.atSeconds}`, probabilityWithin(assess(model, { readings: row.readings }, settings), horizonSeconds));
  const length = Math.min(...pools.map(({ trace }) => trace.available.length));
  const ticks: PoolTick[][] = [];
  for (let t = 0; t < length; t += stride) {
    const at = first.startSeconds + t * first.trace.gapSeconds;
    ticks.push(
      pools.map(({ trace }) => ({
        isAvailable: trace.available[t] === 1,
        usdPerHour: trace.spotUsdPerHour?.[t] ?? spotUsdPerHour,
        probability: assessed.get(`${trace.pair} ${at}`) ?? 0,
      })),
    );
  }
  return { tickSeconds: stride * first.trace.gapSeconds, pools: pools.map(({ trace }) => trace.pair), ticks };
}
