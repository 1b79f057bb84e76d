/**
 * The inputs that the hazard model learns from, and how raw readings become numbers of a similar size. Each has a name that a person would
 * say, and each may be missing. Evidence that no public data covers (notices, rebalance, advisor, placement score) is in priors.ts.
 */

/** What may be known of a pool and of one instance in it. Every field may be left out; times in hours, prices in USD per hour. */
export interface PoolReadings {
  /** Since the instance (or, in training, the pool) was last found to be up. */
  readonly ageHours?: number;
  /** Losses of capacity in this pool in the last hour, not counting the present instance's own. */
  readonly lossesLastHour?: number;
  readonly lossesLastDay?: number;
  /** Share of the last day that the pool had capacity, 0 to 1. */
  readonly shareLastDay?: number;
  /** Losses in the last hour in other pools of the same provider, per pool watched. */
  readonly neighbourLossesLastHour?: number;
  readonly spotUsdPerHour?: number;
  readonly onDemandUsdPerHour?: number;
  /** Change of the spot price over the last day, as a fraction. */
  readonly priceTrendLastDay?: number;
  /** Standard deviation of the spot price over the last day, divided by its mean. */
  readonly priceVolatilityLastDay?: number;
  /** Hour of the day in UTC, 0 to 24. */
  readonly hourOfDay?: number;
}

export interface Feature {
  readonly name: string;
  /** Which way more of it must push the hazard: +1, -1, or 0 where either can be. */
  readonly sign: -1 | 0 | 1;
  /** Plain words for an explanation. */
  readonly words: string;
  /** The number that the model sees; undefined when missing. */
  read(readings: PoolReadings): number | undefined;
}

const mapped = (x: number | undefined, f: (x: number) => number): number | undefined =>
  x === undefined || !Number.isFinite(x) ? undefined : f(x);
const clamp = (x: number, low: number, high: number): number => Math.min(high, Math.max(low, x));

/** In the order in which models store their coefficients. */
export const FEATURES: readonly Feature[] = [
  {
    name: "age",
    sign: -1,
    words: "how long the instance has been up",
    read: (r) => mapped(r.ageHours, (x) => Math.log1p(Math.max(0, x) * 6)),
  },
  {
    name: "losses-last-hour",
    sign: 1,
    words: "interruptions in this pool in the last hour",
    read: (r) => mapped(r.lossesLastHour, (x) => Math.log1p(Math.max(0, x))),
  },
  {
    name: "losses-last-day",
    sign: 1,
    words: "interruptions in this pool in the last day",
    read: (r) => mapped(r.lossesLastDay, (x) => Math.log1p(Math.max(0, x))),
  },
  {
    name: "share-last-day",
    sign: -1,
    words: "share of the last day with capacity",
    read: (r) => mapped(r.shareLastDay, (x) => clamp(x, 0, 1)),
  },
  {
    name: "neighbour-losses",
    sign: 1,
    words: "interruptions in neighbouring pools in the last hour",
    read: (r) => mapped(r.neighbourLossesLastHour, (x) => Math.log1p(Math.max(0, x))),
  },
  {
    name: "price-level",
    sign: 1,
    words: "spot price against on-demand",
    read: (r) =>
      r.onDemandUsdPerHour !== undefined && r.onDemandUsdPerHour > 0
        ? mapped(r.spotUsdPerHour, (x) => clamp(x / (r.onDemandUsdPerHour ?? 1), 0, 2))
        : undefined,
  },
  {
    name: "price-trend",
    sign: 1,
    words: "price trend over the last day",
    read: (r) => mapped(r.priceTrendLastDay, (x) => clamp(x, -0.5, 0.5)),
  },
  {
    name: "price-volatility",
    sign: 1,
    words: "price volatility over the last day",
    read: (r) => mapped(r.priceVolatilityLastDay, (x) => clamp(x, 0, 0.5)),
  },
  { name: "day-sine", sign: 0, words: "time of day", read: (r) => mapped(r.hourOfDay, (x) => Math.sin((2 * Math.PI * x) / 24)) },
  { name: "day-cosine", sign: 0, words: "time of day", read: (r) => mapped(r.hourOfDay, (x) => Math.cos((2 * Math.PI * x) / 24)) },
];

/** Feature values in the order of FEATURES; NaN marks a missing one. */
export function readFeatures(readings: PoolReadings, into: Float64Array = new Float64Array(FEATURES.length)): Float64Array {
  for (let j = 0; j < FEATURES.length; j++) into[j] = FEATURES[j]?.read(readings) ?? Number.NaN;
  return into;
}
