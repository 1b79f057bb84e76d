/**
 * Counterfactual replay: what a move policy would have done over recorded history, against sitting still until the loss. Both paths see the
 * same ticks and neither sees ahead: at each tick the policy knows the assessments of that tick, and what happens next is read afterwards.
 */
import { decideMove, type MoveCosts, type MovePolicy, moveCostUsd } from "./decide.ts";

/** One pool at one tick. */
export interface PoolTick {
  readonly isAvailable: boolean;
  readonly usdPerHour: number;
  /** Probability of interruption within the policy's horizon, as it was assessed then. */
  readonly probability: number;
}

export interface ReplayHistory {
  readonly tickSeconds: number;
  readonly pools: readonly string[];
  /** [tick][pool]. */
  readonly ticks: readonly (readonly PoolTick[])[];
}

export interface ReplayPath {
  readonly moves: number;
  readonly losses: number;
  readonly instanceUsd: number;
  readonly moveUsd: number;
  readonly lossUsd: number;
  /** Ticks in which no pool had capacity. */
  readonly homelessTicks: number;
}

export interface ReplayReport {
  readonly policy: ReplayPath;
  readonly still: ReplayPath;
  readonly savedLosses: number;
  /** What the policy cost more than sitting still, in USD; negative when it saved money. */
  readonly extraUsd: number;
  readonly summary: string;
}

/** Runs both paths from the cheapest pool that is available at the first tick. */
export function replay(history: ReplayHistory, costs: MoveCosts, policy: MovePolicy): ReplayReport {
  const moving = follow(history, costs, policy);
  const still = follow(history, costs, undefined);
  const savedLosses = still.losses - moving.losses;
  const totalOf = (path: ReplayPath): number => path.instanceUsd + path.moveUsd + path.lossUsd;
  const extraUsd = totalOf(moving) - totalOf(still);
  const verb = extraUsd >= 0 ? "cost" : "saved";
  const summary = `this policy would have moved ${moving.moves} times, saved ${savedLosses} of ${still.losses} losses, ${verb} ${Math.abs(extraUsd).toFixed(2)} USD`;
  return { policy: moving, still, savedLosses, extraUsd, summary };
}

function follow(history: ReplayHistory, costs: MoveCosts, policy: MovePolicy | undefined): ReplayPath {
  const hours = history.tickSeconds / 3600;
  const moveTicks: number[] = [];
  let at = -1;
  let moves = 0;
  let losses = 0;
  let instanceUsd = 0;
  let moveUsd = 0;
  let lossUsd = 0;
  let homelessTicks = 0;
  for (const [tick, pools] of history.ticks.entries()) {
    if (at >= 0 && pools[at]?.isAvailable !== true) {
      losses++;
      lossUsd += costs.lossUsd + costs.lossDowntimeSeconds * costs.downtimeUsdPerSecond;
      at = -1;
    }
    if (at < 0) at = best(pools, -1, (pool) => pool.usdPerHour);
    const here = pools[at];
    if (here === undefined) {
      homelessTicks++;
      continue;
    }
    if (policy !== undefined) {
      const to = best(pools, at, (pool) => pool.probability * costs.lossUsd + pool.usdPerHour);
      const target = pools[to];
      const last = moveTicks.at(-1);
      const dayAgo = tick - 86_400 / history.tickSeconds;
      const decision = decideMove(
        {
          here,
          target,
          costs,
          hasNotice: false,
          sinceLastMoveSeconds: last === undefined ? undefined : (tick - last) * history.tickSeconds,
          movesLastDay: moveTicks.filter((t) => t > dayAgo).length,
        },
        policy,
      );
      if (decision.action === "migrate" && target !== undefined) {
        moves++;
        moveTicks.push(tick);
        moveUsd += moveCostUsd(costs, target.usdPerHour);
        at = to;
      }
    }
    instanceUsd += (pools[at]?.usdPerHour ?? 0) * hours;
  }
  return { moves, losses, instanceUsd, moveUsd, lossUsd, homelessTicks };
}

function best(pools: readonly PoolTick[], except: number, score: (pool: PoolTick) => number): number {
  let found = -1;
  let lowest = Number.POSITIVE_INFINITY;
  for (const [i, pool] of pools.entries()) {
    if (i === except || !pool.isAvailable) continue;
    const s = score(pool);
    if (s < lowest) {
      lowest = s;
      found = i;
    }
  }
  return found;
}
