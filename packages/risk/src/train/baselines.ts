/**
 * What the model must beat, trained on the same rows: the base rate, the four rules, a price threshold, and the pool's own history.
 * Each returns a probability within a horizon.
 */
import { applyRules } from "../assess/rules.ts";
import type { Row } from "./rows.ts";

export interface Baseline {
  readonly name: string;
  probability(row: Row): number;
}

/** Whether capacity was lost within the horizon; undefined when that cannot be known. */
export function lostWithin(row: Row, horizonSeconds: number): boolean | undefined {
  if (row.lossSeconds <= horizonSeconds) return true;
  return row.censoredSeconds >= horizonSeconds ? false : undefined;
}

/** Pool history: so many hours, with so many losses, are believed before anything was seen. */
const PRIOR_HOURS = 6;

export function trainBaselines(rows: readonly Row[], horizonSeconds: number): Baseline[] {
  const known = rows.filter((row) => lostWithin(row, horizonSeconds) !== undefined);
  const rateOf = (part: readonly Row[], fallback: number): number =>
    part.length === 0 ? fallback : part.filter((row) => lostWithin(row, horizonSeconds)).length / part.length;
  const base = rateOf(known, 0.5);
  const isCritical = (row: Row): boolean => applyRules({ spotPriceHistory: row.prices, rebalanceSignal: false }).status === "CRITICAL";
  const priced = known.filter((row) => row.prices.length > 0);
  const critical = rateOf(priced.filter(isCritical), base);
  const calm = rateOf(
    priced.filter((row) => !isCritical(row)),
    base,
  );
  const levelOf = (row: Row): number | undefined =>
    row.readings.spotUsdPerHour === undefined || !row.readings.onDemandUsdPerHour
      ? undefined
      : row.readings.spotUsdPerHour / row.readings.onDemandUsdPerHour;
  const levels = priced.map((row) => levelOf(row) ?? 0).sort((a, b) => a - b);
  const threshold = levels[Math.floor(levels.length * 0.9)] ?? 1;
  const above = rateOf(
    priced.filter((row) => (levelOf(row) ?? 0) > threshold),
    base,
  );
  const below = rateOf(
    priced.filter((row) => (levelOf(row) ?? 0) <= threshold),
    base,
  );
  const hours = horizonSeconds / 3600;
  const priorPerHour = -Math.log1p(-Math.min(0.999, base)) / hours;
  return [
    { name: "base rate", probability: () => base },
    { name: "the four rules", probability: (row) => (row.prices.length === 0 ? base : isCritical(row) ? critical : calm) },
    {
      name: "price threshold",
      probability: (row) => {
        const level = levelOf(row);
        return level === undefined ? base : level > threshold ? above : below;
      },
    },
    {
      name: "pool history",
      probability: (row) => {
        const upHours = (row.readings.shareLastDay ?? 0) * 24;
        const perHour = ((row.readings.lossesLastDay ?? 0) + priorPerHour * PRIOR_HOURS) / (upHours + PRIOR_HOURS);
        return -Math.expm1(-perHour * hours);
      },
    },
  ];
}
