/** Backtests over several zones at once: a job that may run in any zone of a group, its checkpoint following it. */
import {
  createAetherZonesPolicy,
  type MultiJob,
  type MultiResult,
  optimumUsd,
  regionOf,
  simulateZones,
  transferBetween,
  type Zone,
} from "@aether/risk";
import { type Market, readTable, readTrace } from "./traces.ts";

export const ZONE_COLUMNS =
  "zones,window,start_tick,deadline_h,d_h,policy,cost_usd,egress_usd,spot_h,od_h,starts,preemptions,moves,finish_h";
export const ZONE_POLICIES = ["aether", "omniscient"] as const;
export type ZonePolicyName = (typeof ZONE_POLICIES)[number];

export interface ZonesTask {
  readonly kind: "zones";
  readonly markets: readonly Market[];
  readonly windows: readonly { readonly window: number; readonly startTick: number }[];
  readonly jobHours: number;
  readonly deadlineHours: number;
  readonly changeoverHours: number;
  readonly checkpointGb: number;
  readonly onDemandUsdPerHour: number;
  readonly spotUsdPerHour: number;
  readonly withPrices: boolean;
  /** By zone; one that is not there takes its market's own prices, or the two above. */
  readonly prices?: ZonePrices;
  readonly policy: ZonePolicyName;
}

export type ZonePrices = ReadonlyMap<string, { readonly spot: number; readonly onDemand: number }>;

/** A file of prices by zone: the first columns whose names begin with `spot_usd_per_hour` and `on_demand_usd_per_hour`. Throws without them. */
export function readZonePrices(dir: string, name: string): ZonePrices {
  const rows = readTable(dir, name);
  const columns = Object.keys(rows[0] ?? {});
  const spot = columns.find((column) => column.startsWith("spot_usd_per_hour"));
  const onDemand = columns.find((column) => column.startsWith("on_demand_usd_per_hour"));
  if (spot === undefined || onDemand === undefined || !columns.includes("zone"))
    throw new Error(`${name} needs the columns zone, spot_usd_per_hour…, on_demand_usd_per_hour…`);
  return new Map(rows.map((row) => [row.zone ?? "", { spot: Number(row[spot]), onDemand: Number(row[onDemand]) }]));
}

function zonesOf(task: ZonesTask): Zone[] {
  return task.markets.map((market): Zone => {
    const price = task.prices?.get(market.zone);
    return {
      name: market.zone,
      region: regionOf(market.zone),
      trace: readTrace(market, task.withPrices),
      onDemandUsdPerHour: price?.onDemand ?? market.onDemandUsdPerHour ?? task.onDemandUsdPerHour,
      spotUsdPerHour: price?.spot ?? task.spotUsdPerHour,
    };
  });
}

export interface ZonesRow {
  readonly window: number;
  readonly costUsd: number;
  readonly missed: boolean;
  readonly line: string;
}

export function runZones(task: ZonesTask): ZonesRow[] {
  const zones = zonesOf(task);
  const gapSeconds = zones[0]?.trace.gapSeconds ?? 600;
  const job: MultiJob = {
    workSeconds: task.jobHours * 3600,
    deadlineSeconds: task.deadlineHours * 3600,
    changeoverSeconds: task.changeoverHours * 3600,
    gapSeconds,
    transfer: (from, to) => transferBetween(zones[from]?.name ?? "", zones[to]?.name ?? "", task.checkpointGb),
  };
  const policy = createAetherZonesPolicy();
  // The dynamic programme counts progress in units that divide a tick; 120 s where it can.
  const unit = gapSeconds % 120 === 0 ? 120 : gapSeconds;
  return task.windows.map(({ window, startTick }) => {
    const head = [zones.map((zone) => zone.name).join("+"), window, startTick, task.deadlineHours, task.changeoverHours, task.policy];
    if (task.policy === "omniscient") {
      const costUsd = optimumUsd(zones, startTick, job, unit);
      return {
        window,
        costUsd,
        missed: !Number.isFinite(costUsd),
        line: [...head, costUsd.toFixed(6), "", "", "", "", "", "", ""].join(","),
      };
    }
    const result = simulateZones(zones, startTick, job, policy);
    return { window, costUsd: result.costUsd, missed: result.missedDeadline, line: [...head, ...cells(result)].join(",") };
  });
}

const hours = (seconds: number): string => (seconds / 3600).toFixed(6);
const cells = (r: MultiResult): (string | number)[] => [
  r.costUsd.toFixed(6),
  r.egressUsd.toFixed(6),
  hours(r.spotSeconds),
  hours(r.onDemandSeconds),
  r.starts,
  r.losses,
  r.moves,
  hours(r.finishSeconds),
];
