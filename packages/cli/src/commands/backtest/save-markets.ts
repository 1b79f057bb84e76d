/** Writes markets as a folder that `--traces` reads: whoever has it can run the same backtest without this control plane. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fault } from "@aether/contract";
import type { Markets } from "./markets.ts";
import { readTrace } from "./traces.ts";

const columns = "kind,file,price_file,group,zone,requested_capacity,gap_seconds,ticks";

/** Throws INVALID_ARGUMENT when the folder cannot be written. */
export function saveMarkets(dir: string, { markets, withPrices }: Markets): void {
  const rows: string[] = [];
  const prices = ["zone,spot_usd_per_hour,on_demand_usd_per_hour"];
  const files = markets.flatMap((market): (readonly [string, string])[] => {
    const { available, probed, spotUsdPerHour } = readTrace(market, withPrices);
    // The device of the pair is what follows the zone.
    const name = `${market.group}__${market.zone}__${market.pair.slice(market.zone.length + 1)}`;
    const capacity = Array.from(available, (up, t) => (probed?.[t] === 0 ? -1 : up));
    const priceFile = spotUsdPerHour === undefined ? "" : `availability/${name}.price.csv`;
    rows.push(
      ["availability", `availability/${name}.csv`, priceFile, market.group, market.zone, 1, market.gapSeconds, market.ticks].join(","),
    );
    if (market.onDemandUsdPerHour !== undefined)
      prices.push([market.zone, spotUsdPerHour?.at(-1) ?? "", market.onDemandUsdPerHour].join(","));
    return [
      [`availability/${name}.csv`, runs("capacity", capacity)],
      ...(spotUsdPerHour === undefined ? [] : [[priceFile, runs("spot_usd_per_hour", [...spotUsdPerHour])] as const]),
    ];
  });
  try {
    mkdirSync(join(dir, "availability"), { recursive: true });
    for (const [name, text] of files) writeFileSync(join(dir, name), text);
    writeFileSync(join(dir, "prices-by-zone.csv"), `${prices.join("\n")}\n`);
    // Last: a folder with a manifest is whole.
    writeFileSync(join(dir, "manifest.csv"), `${[columns, ...rows].join("\n")}\n`);
  } catch (cause) {
    throw fault("INVALID_ARGUMENT", `${dir} cannot be written: ${cause instanceof Error ? cause.message : String(cause)}`, {
      cause,
      field: "save-traces",
    });
  }
}

function runs(value: string, values: readonly number[]): string {
  const lines = [`tick,ticks,utc,${value}`];
  let start = 0;
  for (let t = 1; t <= values.length; t++) {
    if (t < values.length && values[t] === values[start]) continue;
    lines.push([start, t - start, "", values[start]].join(","));
    start = t;
  }
  return `${lines.join("\n")}\n`;
}
