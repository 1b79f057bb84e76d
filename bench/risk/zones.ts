/**
 * Our multi-zone policy on SkyNomad's windows, beside its published results where the same zones are here, and beside the optimum.
 * Run: node --conditions=@source bench/risk/zones.ts [--json FILE] [--windows] [--stand-ins]
 */
import { writeFileSync } from "node:fs";
import { createAetherZonesPolicy, type MultiJob, optimumUsd, regionOf, simulateZones, transferBetween, type Zone } from "@aether/risk";
import { findTraces, readGroup, readTable } from "./traces.ts";

const dir = findTraces();
if (dir === undefined) {
  console.error("no traces: set AETHER_TRACES or place the bundle at ../shared/data/traces");
  process.exit(3);
}
const prices = new Map(readTable(dir, "reference/gcp_h100_prices_2025-10.csv").map((row) => [row.zone ?? "", row]));
const h100: Zone[] = readGroup(dir, "gcp-2025-10-04-h100x16").flatMap((trace) => {
  const price = prices.get(trace.zone);
  if (price === undefined) return [];
  return [
    {
      name: trace.zone,
      region: regionOf(trace.zone),
      trace,
      onDemandUsdPerHour: Number(price["on_demand_usd_per_hour_a3-highgpu-8g"]),
      spotUsdPerHour: Number(price["spot_usd_per_hour_a3-highgpu-8g"]),
    },
  ];
});
const v100: Zone[] = readGroup(dir, "aws-2023-02-15", { withPrices: true }).map((trace) => ({
  name: trace.zone,
  region: regionOf(trace.zone),
  trace,
  onDemandUsdPerHour: 3.06,
  spotUsdPerHour: 0.9731,
}));
const published = readTable(dir, "oracle/skynomad_published.csv");
const rows: Record<string, unknown>[] = [];
const policy = createAetherZonesPolicy();

function run(
  name: string,
  zones: readonly Zone[],
  workHours: number,
  deadlineHours: number,
  startHours: readonly number[],
  compare: Record<string, number[]>,
): void {
  const gapSeconds = zones[0]?.trace.gapSeconds ?? 600;
  const job: MultiJob = {
    workSeconds: workHours * 3600,
    deadlineSeconds: deadlineHours * 3600,
    changeoverSeconds: 720,
    gapSeconds,
    transfer: (from, to) => transferBetween(zones[from]?.name ?? "", zones[to]?.name ?? "", 50),
  };
  const starts = startHours.map((hours) => Math.ceil((hours * 3600) / gapSeconds - 1e-3));
  const results = starts.map((start) => simulateZones(zones, start, job, policy));
  const optima = starts.map((start) => optimumUsd(zones, start, job, gapSeconds === 600 ? 120 : 195));
  const mean = (xs: readonly number[]): number => xs.reduce((a, b) => a + b, 0) / xs.length;
  const row = {
    name,
    zones: zones.length,
    windows: starts.length,
    aether: mean(results.map((r) => r.costUsd)),
    misses: results.filter((r) => r.missedDeadline).length,
    losses: mean(results.map((r) => r.losses)),
    moves: mean(results.map((r) => r.moves)),
    optimumHere: mean(optima),
    ...Object.fromEntries(Object.entries(compare).map(([k, v]) => [k, mean(v)])),
  };
  rows.push(row);
  console.log(
    Object.entries(row)
      .map(([k, v]) => `${k} ${typeof v === "number" && !Number.isInteger(v) ? v.toFixed(2) : v}`)
      .join("  "),
  );
  if (process.argv.includes("--windows"))
    for (const [i, r] of results.entries())
      console.log(
        `   ${startHours[i]?.toFixed(2)} h: ${r.costUsd.toFixed(2)} (optimum ${optima[i]?.toFixed(2)}; ${Object.entries(compare)
          .map(([k, v]) => `${k} ${v[i]?.toFixed(2)}`)
          .join(
            ", ",
          )}) spot ${(r.spotSeconds / 3600).toFixed(1)} h, on-demand ${(r.onDemandSeconds / 3600).toFixed(1)} h, losses ${r.losses}, moves ${r.moves}`,
      );
}

// The same zones and windows as published (Figure: region scaling).
for (const zoneList of [
  ...new Set(published.filter((row) => row.table === "region_scaling" && row.task_type === "multi_region").map((row) => row.zones ?? "")),
]) {
  const names = zoneList.split(" ").map((zone) => zone.replace(/_h100_16$/, ""));
  const zones = names.flatMap((name) => h100.filter((zone) => zone.name === name));
  const of = (strategy: string): number[] =>
    published
      .filter(
        (row) => row.table === "region_scaling" && row.task_type === "multi_region" && row.zones === zoneList && row.strategy === strategy,
      )
      .map((row) => Number(row.cost_usd));
  const starts = published
    .filter((row) => row.table === "region_scaling" && row.zones === zoneList && row.strategy === "unified_cost_model_risk")
    .map((row) => Number(row.env_start_hours));
  const compare = {
    skyNomad: of("unified_cost_model_risk"),
    skyNomadOracle: of("unified_cost_model_oracle"),
    upFailover: of("multi_region_rc_cr_threshold_eager_failover"),
    upAvailability: of("multi_region_availability_probe_simple"),
    publishedOptimum: of("multi_region_oracle_dp"),
  };
  run(`H100 ${names.join(" ")}`, zones, 43.19444444444445, 51.833333333333336, starts, compare);
  // A job that is never interrupted needs 260.4 ticks with its start; the published costs bill it for 260. Beside: what 260 hold.
  run(`H100 ${names.join(" ")}, as published rounds`, zones, 260 / 6 - 0.2, 51.833333333333336, starts, compare);
}
// Figures 9a and 10a use thirteen zones, nine of which are here: the published means stand beside for orientation only.
const windows = [0, 1, 2, 3, 4, 5].map((i) => i * 51.833333333333336);
for (const [ratio, skyNomad, optimum] of [
  [1.05, 881.65, 840.15],
  [1.1, 837.16, 792.84],
  [1.2, 766.16, 720.68],
  [1.3, 707.04, 661.99],
  [1.5, 606.38, 571.38],
  [2, 443.52, 426.17],
] as const) {
  run(`H100 all zones here, ratio ${ratio}`, h100, 51.833333333333336 / ratio, 51.833333333333336, windows, {
    skyNomad13: [skyNomad],
    optimum13: [optimum],
  });
}
// The four zones that are not here, each stood in for by another recorded one, resampled and shifted in time, at its own real price.
if (process.argv.includes("--stand-ins")) {
  const ticks = h100[0]?.trace.available.length ?? 0;
  const standIn = (name: string, from: string, shift: number): Zone => {
    const source = [...v100, ...h100].find((zone) => zone.name === from);
    const price = prices.get(name);
    if (source === undefined || price === undefined) throw new Error(`no ${from} to stand in for ${name}`);
    const step = 600 / source.trace.gapSeconds;
    const { available } = source.trace;
    return {
      name,
      region: regionOf(name),
      trace: {
        pair: name,
        zone: name,
        gapSeconds: 600,
        available: Uint8Array.from({ length: ticks }, (_, t) =>
          available[Math.floor((t + shift) * step) % available.length] === 1 ? 1 : 0,
        ),
      },
      onDemandUsdPerHour: Number(price["on_demand_usd_per_hour_a3-highgpu-8g"]),
      spotUsdPerHour: Number(price["spot_usd_per_hour_a3-highgpu-8g"]),
    };
  };
  const a = [
    standIn("us-east4-b", "us-west-2a", 100),
    standIn("us-east5-a", "us-west-2c", 900),
    standIn("europe-west3-c", "asia-south2-b", 700),
    standIn("asia-southeast1-b", "us-east-2a", 0),
  ];
  const b = [
    standIn("us-east4-b", "us-central1-a", 1000),
    standIn("us-east5-a", "asia-south2-b", 300),
    standIn("europe-west3-c", "us-east-2b", 2000),
    standIn("asia-southeast1-b", "us-west1-a", 900),
  ];
  const spread = Array.from({ length: 12 }, (_, i) => (i * 51.833333333333336) / 2);
  for (const ratio of [1.05, 1.2, 1.5, 2])
    for (const [name, four] of [
      ["A", a],
      ["B", b],
    ] as const)
      run(
        `H100 nine zones and stand-ins ${name}, ratio ${ratio}`,
        [...h100, ...four],
        51.833333333333336 / ratio,
        51.833333333333336,
        spread,
        {},
      );
}
const v100Starts = published
  .filter((row) => row.table === "v100" && row.zones === "us-west-2a_v100_1")
  .map((row) => Number(row.env_start_hours));
run(
  "V100 us-east-2b us-west-2a",
  v100.filter((zone) => ["us-east-2b", "us-west-2a"].includes(zone.name)),
  39.93888888888889,
  59.90833333333333,
  v100Starts,
  { skyNomad3: [41.73], optimum3: [37.37] },
);
run("V100 all zones here", v100, 39.93888888888889, 59.90833333333333, v100Starts, { skyNomad3: [41.73], optimum3: [37.37] });
const file = process.argv.includes("--json") ? process.argv[process.argv.indexOf("--json") + 1] : undefined;
if (file !== undefined) writeFileSync(file, `${JSON.stringify(rows, null, 1)}\n`);
