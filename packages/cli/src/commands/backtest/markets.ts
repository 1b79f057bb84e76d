/** Where a backtest's markets come from: files, or the control plane's own price tables through the price book that savings and assessments read too. */
import { resolve } from "node:path";
import { fault } from "@aether/contract";
import { type PoolKey, type PriceOrigin, recordedTrace } from "@aether/risk";
import type { Core } from "../../client.ts";
import { type CorePrices, readCorePrices } from "../../prices/core-prices.ts";
import { saySource, sourcesOf } from "../../prices/sources.ts";
import { listTraces, type Market } from "./traces.ts";

export interface MarketFlags {
  readonly traces?: string;
  readonly group?: string;
  readonly hours?: number;
  readonly region?: string;
  readonly instanceType?: string;
  readonly onDemandPrice?: number;
  readonly prices?: boolean;
}

export interface Markets {
  /** In words, for what goes wrong. */
  readonly name: string;
  readonly markets: readonly Market[];
  /** Of a trace bundle. */
  readonly dir?: string;
  /** Where a market does not know its own. */
  readonly onDemandUsdPerHour: number;
  readonly withPrices: boolean;
  /** Provenance, for --json and for people. */
  readonly source: MarketSource;
  readonly words: readonly string[];
}

interface MarketSource {
  readonly kind: "files" | "price tables";
  readonly dir?: string;
  readonly from?: string;
  readonly to?: string;
  readonly losses?: number;
  readonly prices?: readonly PriceOrigin[];
}

/** Of p3.2xlarge in us-west-2, as the public simulator has it. */
const TRACES_ON_DEMAND_USD = 3.06;
const TICK_SECONDS = 600;
const tickMs = TICK_SECONDS * 1000;

/** Throws INVALID_ARGUMENT naming the option, UNAVAILABLE when the control plane is asked and not there. */
export async function findMarkets(flags: MarketFlags, core: () => Promise<Core>, signal: AbortSignal): Promise<Markets> {
  if (flags.traces !== undefined) {
    for (const [name, value] of Object.entries({ hours: flags.hours, region: flags.region, "instance-type": flags.instanceType }))
      if (value !== undefined) throw fault("INVALID_ARGUMENT", `--${name} is for the price tables, not for --traces`, { field: name });
    return fromFiles(resolve(flags.traces), flags);
  }
  for (const name of ["group", "prices"] as const)
    if (flags[name] !== undefined) throw fault("INVALID_ARGUMENT", `--${name} is for --traces`, { field: name });
  const { hours = 720, region, instanceType } = flags;
  return fromTables(await readCorePrices(await core(), { hours, region, instanceType }, signal), flags.onDemandPrice);
}

function fromFiles(dir: string, { group, onDemandPrice, prices }: MarketFlags): Markets {
  const markets = listTraces(dir, group);
  if (markets.length === 0)
    throw fault(
      "INVALID_ARGUMENT",
      group === undefined ? "the manifest names no availability traces" : `the manifest has no group "${group}"`,
      {
        field: group === undefined ? "traces" : "group",
      },
    );
  return {
    name: "the traces",
    ...{ markets, dir },
    onDemandUsdPerHour: onDemandPrice ?? TRACES_ON_DEMAND_USD,
    withPrices: prices === true,
    source: { kind: "files", dir },
    words: [],
  };
}

function fromTables({ book, fromMs, toMs, losses }: CorePrices, onDemandPrice: number | undefined): Markets {
  // Ticks lie on the clock, so that the same history gives the same markets a minute later.
  const firstMs = Math.ceil(fromMs / tickMs) * tickMs;
  const lastMs = Math.floor(toMs / tickMs) * tickMs;
  const marketOf = (pool: PoolKey): Market => {
    const onDemandUsdPerHour = onDemandPrice ?? book.onDemand(pool)?.value;
    if (onDemandUsdPerHour === undefined)
      throw fault("INVALID_ARGUMENT", `no on-demand price of ${pool.instanceType} in ${pool.region} is known`, {
        field: "on-demand-price",
        hint: "Give --on-demand-price, or set prices.onDemandUsdPerHour of the control plane.",
      });
    const span = { fromMs: firstMs, toMs: lastMs, gapSeconds: TICK_SECONDS, losses: losses(pool), mostUsdPerHour: onDemandUsdPerHour };
    const trace = recordedTrace(book, pool, span);
    return {
      pair: trace.pair,
      group: pool.instanceType,
      zone: pool.zone,
      gapSeconds: TICK_SECONDS,
      ticks: trace.available.length,
      onDemandUsdPerHour,
      source: trace,
    };
  };
  const markets = book.pools.map(marketOf);
  const lost = book.pools.reduce((sum, pool) => sum + losses(pool).length, 0);
  const [from, to] = [new Date(firstMs).toISOString(), new Date(lastMs).toISOString()];
  const prices = sourcesOf(book);
  return {
    name: "the recorded prices",
    markets,
    onDemandUsdPerHour: 0,
    withPrices: true,
    source: { kind: "price tables", from, to, losses: lost, prices },
    words: [
      `prices of ${markets.length} pools from ${from} to ${to}; ${lost} losses of the fleet's own; a tick counts as there while spot is at or below on-demand`,
      ...prices.map(saySource),
    ],
  };
}
