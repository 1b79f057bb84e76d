/**
 * What a stateful service costs in a month on spot, from a real price series: hours at the price of its zone, moves (both instances billed while
 * it moves), and on-demand for as long as no zone has spot. Interruptions are taken at their expected number, because price series do not hold
 * them. Pure; the same for one series or a thousand.
 */

/** Prices in force from a moment on. */
export interface PricePoint {
  /** Unix seconds. */
  readonly atSeconds: number;
  readonly onDemandUsdPerHour: number;
  /** By zone; undefined where there is no offer. */
  readonly spotUsdPerHour: readonly (number | undefined)[];
}

export interface ServiceCosts {
  /** Expected interruptions of one instance in a month of 730 hours. */
  readonly interruptionsPerMonth: number;
  /** Both instances are billed for so long in each move. */
  readonly overlapSeconds: number;
  readonly freezeSeconds: number;
  readonly transferGb: number;
  /** Between zones of one region. */
  readonly transferUsdPerGb: number;
  /** Share of interruptions after which no zone has spot, and how long on-demand bridges that. */
  readonly noSpotShare: number;
  readonly noSpotHours: number;
  /** Move for price when another zone is cheaper by this fraction. */
  readonly moveForPriceFraction: number;
}

export const DEFAULT_SERVICE_COSTS: ServiceCosts = {
  interruptionsPerMonth: 0.2,
  overlapSeconds: 120,
  freezeSeconds: 2,
  transferGb: 16,
  transferUsdPerGb: 0.01,
  noSpotShare: 0.2,
  noSpotHours: 6,
  moveForPriceFraction: 0.1,
};

export interface MonthCost {
  readonly startSeconds: number;
  readonly spotUsd: number;
  readonly onDemandUsd: number;
  readonly priceMoves: number;
  readonly interruptions: number;
  readonly moveUsd: number;
  readonly fallbackUsd: number;
  /** Expected seconds in which the service stood still. */
  readonly frozenSeconds: number;
}

export const MONTH_HOURS = 730;
const HOUR = 3600;

/**
 * Costs of the months that start at `startSeconds` and lie wholly inside the series; undefined when it does not reach so far or no zone has an
 * offer at the start.
 */
export function monthCost(
  series: readonly PricePoint[],
  startSeconds: number,
  costs: ServiceCosts = DEFAULT_SERVICE_COSTS,
): MonthCost | undefined {
  const endSeconds = startSeconds + MONTH_HOURS * HOUR;
  const first = series.findLastIndex((point) => point.atSeconds <= startSeconds);
  const last = series.at(-1);
  if (first < 0 || last === undefined || last.atSeconds < endSeconds) return undefined;
  let zone = -1;
  let rentUsd = 0;
  let onDemandUsd = 0;
  let moveUsd = 0;
  let fallbackUsd = 0;
  let priceMoves = 0;
  for (let i = first; i < series.length; i++) {
    const point = series[i];
    if (point === undefined || point.atSeconds >= endSeconds) break;
    const from = Math.max(point.atSeconds, startSeconds);
    const to = Math.min(series[i + 1]?.atSeconds ?? endSeconds, endSeconds);
    const hours = (to - from) / HOUR;
    const cheapest = cheapestZone(point);
    const cheapestUsd = point.spotUsdPerHour[cheapest];
    if (cheapestUsd === undefined && zone < 0) return undefined;
    const hereUsd = point.spotUsdPerHour[zone];
    if (cheapestUsd !== undefined && (hereUsd === undefined || cheapestUsd < hereUsd * (1 - costs.moveForPriceFraction))) {
      if (zone >= 0) {
        priceMoves++;
        moveUsd += moveUsdAt(cheapestUsd, costs);
      }
      zone = cheapest;
    }
    // An offer that has gone from every zone means on-demand until one returns.
    const priceUsd = Math.min(point.spotUsdPerHour[zone] ?? point.onDemandUsdPerHour, point.onDemandUsdPerHour);
    const interruptions = (costs.interruptionsPerMonth / MONTH_HOURS) * hours;
    rentUsd += priceUsd * hours;
    onDemandUsd += point.onDemandUsdPerHour * hours;
    moveUsd += interruptions * moveUsdAt(priceUsd, costs);
    fallbackUsd +=
      interruptions *
      costs.noSpotShare *
      (costs.noSpotHours * (point.onDemandUsdPerHour - priceUsd) + moveUsdAt(point.onDemandUsdPerHour, costs));
  }
  const interruptions = costs.interruptionsPerMonth;
  const moves = priceMoves + interruptions * (1 + costs.noSpotShare);
  return {
    startSeconds,
    spotUsd: rentUsd + moveUsd + fallbackUsd,
    onDemandUsd,
    priceMoves,
    interruptions,
    moveUsd,
    fallbackUsd,
    frozenSeconds: moves * costs.freezeSeconds,
  };
}

const moveUsdAt = (usdPerHour: number, costs: ServiceCosts): number =>
  (costs.overlapSeconds / HOUR) * usdPerHour + costs.transferGb * costs.transferUsdPerGb;

function cheapestZone(point: PricePoint): number {
  let best = -1;
  for (const [i, usd] of point.spotUsdPerHour.entries())
    if (usd !== undefined && usd < (point.spotUsdPerHour[best] ?? Number.POSITIVE_INFINITY)) best = i;
  return best;
}

/** Value below which a share of the sorted numbers lies, interpolated. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const at = share * (sorted.length - 1);
  const low = sorted[Math.floor(at)] ?? Number.NaN;
  return low + ((sorted[Math.ceil(at)] ?? low) - low) * (at - Math.floor(at));
}

/** Expected interruptions a month by Spot Advisor band: -ln(1 - the band's upper end), the last band taken as 40 %. */
export const INTERRUPTIONS_BY_BAND = [0.05, 0.1, 0.15, 0.2, 0.4].map((share) => -Math.log1p(-share));

/** Parses a catalogue price file: `utc,on_demand_usd_per_hour,ZONE,...`, blank = no offer. Throws RangeError with the line. */
export function parsePriceSeries(text: string): { readonly zones: readonly string[]; readonly series: readonly PricePoint[] } {
  const lines = text.trimEnd().split(/\r?\n/);
  const zones = (lines[0] ?? "").split(",").slice(2);
  const series = lines.slice(1).flatMap((line, i): PricePoint[] => {
    const [utc, onDemand, ...spot] = line.split(",");
    const atSeconds = Date.parse(utc ?? "") / 1000;
    const numbers = spot.map((cell) => (cell === "" ? undefined : Number(cell)));
    if (onDemand === "") return [];
    const onDemandUsdPerHour = Number(onDemand);
    if (!Number.isFinite(atSeconds) || !(onDemandUsdPerHour > 0) || numbers.some((x) => x !== undefined && !(x >= 0)))
      throw new RangeError(`line ${i + 2} is not a price row: ${line.slice(0, 80)}`);
    return [{ atSeconds, onDemandUsdPerHour, spotUsdPerHour: numbers }];
  });
  return { zones, series };
}
