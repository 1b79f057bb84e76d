/**
 * What is known of the prices of spot pools over time, wherever it was recorded: in the control plane's tables, behind its API, or in files. Assessment,
 * savings and backtest read prices through this and nothing else, so that the same number is the same number everywhere; each says its source.
 */

/** The spot instances of one type in one zone. */
export interface PoolKey {
  readonly region: string;
  readonly zone: string;
  readonly instanceType: string;
}

/** The price in force from a time on, ms and USD per hour. Infinity: there was no offer. */
export interface PriceStep {
  readonly atMs: number;
  readonly usdPerHour: number;
}

/** Where a number comes from. */
export interface PriceOrigin {
  /** e.g. DescribeSpotPriceHistory, spot-advisor, configured, file. */
  readonly source: string;
  /** The endpoint or file that was read. */
  readonly origin: string;
  /** When it was last confirmed there. */
  readonly fetchedAt: Date;
}

export interface Sourced<Value> extends PriceOrigin {
  readonly value: Value;
}

export interface PriceBook {
  readonly pools: readonly PoolKey[];
  /** Steps that cover the time asked for, oldest first; empty when unknown. */
  spot(pool: PoolKey): readonly PriceStep[];
  spotSource(pool: PoolKey): PriceOrigin | undefined;
  /** In force now. */
  onDemand(pool: PoolKey): Sourced<number> | undefined;
  /** Over time; where only the present price is known, it stands for all of it. */
  onDemandSteps(pool: PoolKey): readonly PriceStep[];
  /** The Spot Advisor's band, 0 to 4. */
  advisorBand(pool: PoolKey): Sourced<number> | undefined;
}

/** The price in force at a time; undefined before the first that is known. */
export function priceAt(steps: readonly PriceStep[], atMs: number): number | undefined {
  let found: number | undefined;
  for (const step of steps) {
    if (step.atMs > atMs) break;
    found = step.usdPerHour;
  }
  return found;
}

/** The price in force at each of many times in order; NaN before the first that is known. */
export function pricesAt(steps: readonly PriceStep[], timesMs: Iterable<number>): Float64Array {
  const prices: number[] = [];
  let next = 0;
  let last = Number.NaN;
  for (const atMs of timesMs) {
    for (let step = steps[next]; step !== undefined && step.atMs <= atMs; step = steps[++next]) last = step.usdPerHour;
    prices.push(last);
  }
  return Float64Array.from(prices);
}
