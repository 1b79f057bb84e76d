/** Months of every price series of a trace bundle: the numbers behind `aether savings`. */
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { gunzipSync } from "node:zlib";
import {
  DEFAULT_SERVICE_COSTS,
  INTERRUPTIONS_BY_BAND,
  type MonthCost,
  monthCost,
  parsePriceSeries,
  quantile,
  type ServiceCosts,
} from "@aether/risk";
import { splitCsvLine } from "../backtest/traces.ts";

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
  readonly region?: string;
  readonly instanceType?: string;
}

const DAY = 86_400;
/** Months start a week apart. */
const STEP_DAYS = 7;

/** Reads `prices/**` of 2022 to 2024 and the newest advisor snapshot that the bundle's manifest names. */
export function savingsRows(dir: string, options: SavingsOptions): SavingsRow[] {
  const text = (name: string): string => {
    const bytes = readFileSync(resolve(dir, name));
    return (name.endsWith(".gz") ? gunzipSync(bytes) : bytes).toString("utf8");
  };
  const manifest = text("manifest.csv").split(/\r?\n/).filter(Boolean).map(splitCsvLine);
  const column = (name: string): number => manifest[0]?.indexOf(name) ?? -1;
  const files = manifest
    .slice(1)
    .filter((cells) => cells[column("kind")] === "price")
    .map((cells) => cells[column("file")] ?? "");
  const advisor = manifest
    .filter((cells) => cells[column("kind")] === "advisor")
    .map((cells) => cells[column("file")] ?? "")
    .sort()
    .at(-1);
  const bands = new Map<string, number>();
  for (const line of advisor === undefined ? [] : text(advisor).split(/\r?\n/).slice(1)) {
    const [region, os, type, band] = line.split(",");
    if (os === "Linux") bands.set(`${region} ${type}`, Number(band));
  }
  const rows: SavingsRow[] = [];
  for (const file of files) {
    const [, region, instanceType] = file.match(/aws-2022-2024__(.+)__(.+)\.csv\.gz$/) ?? [];
    if (region === undefined || instanceType === undefined) continue;
    if ((options.region ?? region) !== region || (options.instanceType ?? instanceType) !== instanceType) continue;
    const { series } = parsePriceSeries(text(file));
    // Without a band, the worst is taken.
    const perMonth = (INTERRUPTIONS_BY_BAND[bands.get(`${region} ${instanceType}`) ?? 4] ?? 0) * options.interruptionFactor;
    const costs = { ...DEFAULT_SERVICE_COSTS, ...options.costs, interruptionsPerMonth: perMonth };
    const first = series[0]?.atSeconds ?? 0;
    const last = series.at(-1)?.atSeconds ?? 0;
    const months: MonthCost[] = [];
    for (let start = first; start < last; start += STEP_DAYS * DAY) {
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
