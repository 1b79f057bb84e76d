// The catalogue prices of a trace bundle (prices/aws-2022-2024__REGION__TYPE.csv.gz) and its newest advisor snapshot as a price book.
import {
  type PoolKey,
  type PriceBook,
  type PriceOrigin,
  type PricePoint,
  type PriceStep,
  parsePriceSeries,
  type Sourced,
} from "@aether/risk";
import { readText, splitCsvLine } from "../commands/backtest/traces.ts";

interface Series {
  readonly zones: readonly string[];
  readonly series: readonly PricePoint[];
  readonly from: PriceOrigin;
}

/** Reads what the bundle's manifest names of one region and type, or of all. */
export function readFilePrices(dir: string, choice: { readonly region?: string; readonly instanceType?: string }): PriceBook {
  const text = (name: string): string => readText(dir, name);
  const manifest = text("manifest.csv").split(/\r?\n/).filter(Boolean).map(splitCsvLine);
  const column = (name: string): number => manifest[0]?.indexOf(name) ?? -1;
  const filesOf = (kind: string): string[] =>
    manifest.filter((cells) => cells[column("kind")] === kind).map((cells) => cells[column("file")] ?? "");
  const advisor = filesOf("advisor").sort().at(-1);
  const bands = new Map<string, number>();
  for (const line of advisor === undefined ? [] : text(advisor).split(/\r?\n/).slice(1)) {
    const [region, os, type, band] = line.split(",");
    if (os === "Linux") bands.set(`${region} ${type}`, Number(band));
  }
  const all = new Map<string, Series>();
  const pools: PoolKey[] = [];
  for (const file of filesOf("price")) {
    const [, region, instanceType] = file.match(/aws-2022-2024__(.+)__(.+)\.csv\.gz$/) ?? [];
    if (region === undefined || instanceType === undefined) continue;
    if ((choice.region ?? region) !== region || (choice.instanceType ?? instanceType) !== instanceType) continue;
    const { zones, series } = parsePriceSeries(text(file));
    const fetchedAt = new Date((series.at(-1)?.atSeconds ?? 0) * 1000);
    all.set(`${region} ${instanceType}`, { zones, series, from: { source: "file", origin: file, fetchedAt } });
    pools.push(...zones.map((zone) => ({ region, zone, instanceType })));
  }
  const of = ({ region, instanceType }: PoolKey): Series | undefined => all.get(`${region} ${instanceType}`);
  const steps = (points: readonly PricePoint[] | undefined, usd: (point: PricePoint) => number): PriceStep[] =>
    (points ?? []).map((point) => ({ atMs: point.atSeconds * 1000, usdPerHour: usd(point) }));
  return {
    pools,
    spot(pool) {
      const found = of(pool);
      const zone = found?.zones.indexOf(pool.zone) ?? -1;
      return steps(found?.series, (point) => point.spotUsdPerHour[zone] ?? Number.POSITIVE_INFINITY);
    },
    spotSource: (pool) => of(pool)?.from,
    onDemand(pool): Sourced<number> | undefined {
      const found = of(pool);
      const last = found?.series.at(-1);
      return found && last && { value: last.onDemandUsdPerHour, ...found.from };
    },
    onDemandSteps: (pool) => steps(of(pool)?.series, (point) => point.onDemandUsdPerHour),
    advisorBand(pool): Sourced<number> | undefined {
      const value = bands.get(`${pool.region} ${pool.instanceType}`);
      return value === undefined || advisor === undefined
        ? undefined
        : { value, source: "spot-advisor", origin: advisor, fetchedAt: new Date(0) };
    },
  };
}
