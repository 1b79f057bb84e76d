/** Months of every price series of a price book, one row a type and region: the numbers behind `aether savings --months` and `--traces`. */
import {
  DEFAULT_SERVICE_COSTS,
  INTERRUPTIONS_BY_BAND,
  MONTH_HOURS,
  type MonthCost,
  monthCost,
  type PoolKey,
  type PriceBook,
  priceSeries,
  quantile,
  type ServiceCosts,
} from "@aether/risk";

export interface SavingsRow {
  readonly region: string;
  readonly instanceType: string;
  readonly months: number;
  readonly interruptionsPerMonth: number;
  readonly onDemandUsd: number;
  /** Saving against on-demand, as fractions: worst month, tenth, middle, best. */
  readonly worst: number;
  readonly p10: number;
  readonly median: number;
  readonly best: number;
  /** Share of months cheaper than a savings plan of the given discount. */
  readonly beatsPlan: number;
  readonly priceMovesPerMonth: number;
  readonly frozenSecondsPerMonth: number;
}

export interface SavingsOptions {
  readonly planDiscount: number;
  readonly costs?: Partial<ServiceCosts>;
  /** Multiplies the expected interruptions of the Spot Advisor band. */
  readonly interruptionFactor: number;
}

const DAY = 86_400;
/** Months start a week apart. */
const STEP_DAYS = 7;

/** @param untilMs the last price of each zone holds until then; to the last change where it is not given. */
export function savingsRows(book: PriceBook, options: SavingsOptions, untilMs?: number): SavingsRow[] {
  const byType = new Map<string, PoolKey[]>();
  for (const pool of book.pools) {
    const key = `${pool.region} ${pool.instanceType}`;
    byType.set(key, [...(byType.get(key) ?? []), pool]);
  }
  const rows: SavingsRow[] = [];
  for (const pools of byType.values()) {
    const [any] = pools;
    if (any === undefined) continue;
    const { region, instanceType } = any;
    const changes = priceSeries(book, pools);
    const newest = changes.at(-1);
    const series = untilMs === undefined || newest === undefined ? changes : [...changes, { ...newest, atSeconds: untilMs / 1000 }];
    // Without a band, the worst is taken.
    const perMonth = (INTERRUPTIONS_BY_BAND[book.advisorBand(any)?.value ?? 4] ?? 0) * options.interruptionFactor;
    const costs = { ...DEFAULT_SERVICE_COSTS, ...options.costs, interruptionsPerMonth: perMonth };
    const first = series[0]?.atSeconds ?? 0;
    const last = series.at(-1)?.atSeconds ?? 0;
    const months: MonthCost[] = [];
    for (let start = first; start + MONTH_HOURS * 3600 <= last; start += STEP_DAYS * DAY) {
      const month = monthCost(series, start, costs);
      if (month !== undefined) months.push(month);
    }
    if (months.length === 0) continue;
    const savings = months.map((month) => 1 - month.spotUsd / month.onDemandUsd);
    const mean = (pick: (month: MonthCost) => number): number => months.reduce((sum, month) => sum + pick(month), 0) / months.length;
    rows.push({
      region,
      instanceType,
      months: months.length,
      interruptionsPerMonth: perMonth,
      onDemandUsd: mean((month) => month.onDemandUsd),
      worst: quantile(savings, 0),
      p10: quantile(savings, 0.1),
      median: quantile(savings, 0.5),
      best: quantile(savings, 1),
      beatsPlan: savings.filter((saving) => saving > options.planDiscount).length / savings.length,
      priceMovesPerMonth: mean((month) => month.priceMoves),
      frozenSecondsPerMonth: mean((month) => month.frozenSeconds),
    });
  }
  return rows.sort((a, b) => a.median - b.median);
}
