// Price tables: written by the fetchers, read by assessments, savings and the price service.
import type { NodeFacts } from "@aether/contract/gen/aether/v2/node_pb";
import { type PoolKey, type PriceBook, type PriceOrigin, type PriceStep, priceAt, type Sourced } from "@aether/risk";
import type { Kysely } from "kysely";
import type { Database, Row } from "../db/schema.ts";
import { poolName } from "./pool.ts";

/** A price that was not confirmed for this long is not used: the market may have moved. */
export const priceStaleMs = 86_400_000;
const scoreStaleMs = 86_400_000;
const advisorStaleMs = 90 * 86_400_000;

/** All that is known of the pools, in memory: one read for a pass over the fleet. */
export interface PriceTables extends PriceBook {
  placementScore(pool: PoolKey): Sourced<number> | undefined;
}

export const spotPriceFetch = (region: string): string => `DescribeSpotPriceHistory ${region}`;
export const placementFetch = (region: string): string => `GetSpotPlacementScores ${region}`;

/** Reads everything that is needed to price the time since `sinceMs`; of one pool, or of all. */
export async function readPriceBook(db: Kysely<Database>, nowMs: number, sinceMs: number, only?: PoolKey): Promise<PriceTables> {
  const spotRows = () => {
    const query = db.selectFrom("spot_prices").selectAll();
    if (only === undefined) return query;
    return query.where("region", "=", only.region).where("zone", "=", only.zone).where("instance_type", "=", only.instanceType);
  };
  const [before, after, onDemand, scores, bands, fetches] = await Promise.all([
    // The price in force at the beginning was set before it.
    spotRows()
      .distinctOn(["region", "zone", "instance_type"])
      .where("at", "<=", new Date(sinceMs))
      .orderBy("region")
      .orderBy("zone")
      .orderBy("instance_type")
      .orderBy("at", "desc")
      .execute(),
    spotRows().where("at", ">", new Date(sinceMs)).orderBy("at").execute(),
    db.selectFrom("on_demand_prices").selectAll().execute(),
    db
      .selectFrom("placement_scores")
      .selectAll()
      .where("fetched_at", ">", new Date(nowMs - scoreStaleMs))
      .execute(),
    db
      .selectFrom("advisor_bands")
      .selectAll()
      .where("fetched_at", ">", new Date(nowMs - advisorStaleMs))
      .execute(),
    db.selectFrom("fetches").select(["name", "last_success_at"]).where("kind", "=", "price").execute(),
  ]);
  const confirmed = new Map(fetches.map((row) => [row.name, row.last_success_at]));
  const steps = new Map<string, PriceStep[]>();
  const sources = new Map<string, PriceOrigin>();
  const pools = new Map<string, PoolKey>();
  for (const row of [...before, ...after]) {
    const pool = { region: row.region, zone: row.zone, instanceType: row.instance_type };
    const name = poolName(pool);
    const fetchedAt = confirmed.get(spotPriceFetch(row.region)) ?? row.fetched_at;
    const list = steps.get(name) ?? [];
    list.push({ atMs: row.at.getTime(), usdPerHour: row.usd_per_hour });
    steps.set(name, list);
    pools.set(name, pool);
    sources.set(name, { source: "DescribeSpotPriceHistory", origin: row.origin, fetchedAt });
  }
  const onDemandBy = byRegionAndType(onDemand);
  const bandBy = new Map(bands.map((row) => [byType(row.region, row.instance_type), row]));
  const scoreBy = new Map(scores.map((row) => [poolName({ region: row.region, zone: row.zone, instanceType: row.instance_type }), row]));
  const onDemandOf = (pool: PoolKey): Sourced<number> | undefined => {
    const row = onDemandBy.get(byType(pool.region, pool.instanceType));
    return row && { value: row.usd_per_hour, source: row.source, origin: row.origin, fetchedAt: row.fetched_at };
  };
  return {
    pools: [...pools.values()],
    spot: (pool) => steps.get(poolName(pool)) ?? [],
    spotSource: (pool) => sources.get(poolName(pool)),
    onDemand: onDemandOf,
    onDemandSteps(pool) {
      const price = onDemandOf(pool);
      return price === undefined ? [] : [{ atMs: Number.NEGATIVE_INFINITY, usdPerHour: price.value }];
    },
    placementScore(pool) {
      const row = scoreBy.get(poolName(pool));
      return row && { value: row.score, source: "GetSpotPlacementScores", origin: row.origin, fetchedAt: row.fetched_at };
    },
    advisorBand(pool) {
      const row = bandBy.get(byType(pool.region, pool.instanceType));
      return row && { value: row.band, source: "spot-advisor", origin: row.origin, fetchedAt: row.fetched_at };
    },
  };
}

const byType = (region: string, instanceType: string): string => `${region} ${instanceType}`;

function byRegionAndType(rows: readonly Row<"on_demand_prices">[]): Map<string, Row<"on_demand_prices">> {
  const found = new Map<string, Row<"on_demand_prices">>();
  for (const row of rows) {
    const key = byType(row.region, row.instance_type);
    // What the operator has set wins over what was derived.
    if (row.source === "configured" || !found.has(key)) found.set(key, row);
  }
  return found;
}

/** USD per hour of an on-demand instance of a node's type, where it is known. */
export async function readOnDemandPrices(db: Kysely<Database>): Promise<(facts: NodeFacts) => number | undefined> {
  const known = byRegionAndType(await db.selectFrom("on_demand_prices").selectAll().execute());
  return ({ cloud }) => known.get(byType(cloud?.region ?? "", cloud?.instanceType ?? ""))?.usd_per_hour;
}

/** The price now, if the source has confirmed it lately. */
export function freshPrice(book: PriceBook, pool: PoolKey, nowMs: number): number | undefined {
  const source = book.spotSource(pool);
  return source && nowMs - source.fetchedAt.getTime() <= priceStaleMs ? priceAt(book.spot(pool), nowMs) : undefined;
}
