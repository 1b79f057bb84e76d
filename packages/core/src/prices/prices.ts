// Keeps the price tables fresh, and serves them. Nothing is fetched unless it is configured; what the fleet runs on decides what is asked for.
import { NodeFactsSchema } from "@aether/contract/gen/aether/v2/node_pb";
import { fromColumn } from "../db/proto.ts";
import { createFetches, type Fetches, type FetchesOptions, type Source } from "../fetch/fetches.ts";
import { getDocument } from "../fetch/http.ts";
import type { Part } from "../part.ts";
import type { PricesConfig } from "./config.ts";
import { advisorLimits, parseAdvisor } from "./fetch-advisor.ts";
import { ec2Origin, fetchPlacementScores, fetchSpotPrices } from "./fetch-ec2.ts";
import { poolOf } from "./pool.ts";
import { priceRoutes } from "./service.ts";
import { placementFetch, spotPriceFetch } from "./store.ts";
import { writeAdvisorBands, writeOnDemandPrices, writePlacementScores, writeSpotPrices } from "./write.ts";

export interface PricesOptions extends Omit<FetchesOptions, "kind" | "sources"> {
  readonly config: PricesConfig;
}

export type Prices = Part & Fetches;

const dayMs = 86_400_000;
/** Prices are asked for again from a little before the last success on: a change may be told late. */
const overlapMs = 2 * 3_600_000;

export function createPrices({ db, config, nowMs, log, onFetched = () => undefined }: PricesOptions): Prices {
  const { ec2, advisor, timeoutMs } = config;
  /** Of the fleet in a region, and what is configured besides. */
  async function typesIn(region: string): Promise<string[]> {
    const nodes = await db.selectFrom("nodes").select("facts").execute();
    const used = nodes.map(({ facts }) => poolOf(fromColumn(NodeFactsSchema, facts))).filter((pool) => pool?.region === region);
    return [...new Set([...used.flatMap((pool) => (pool ? [pool.instanceType] : [])), ...(ec2?.instanceTypes ?? [])])].sort();
  }
  const ofRegion = (region: string): Source[] => {
    if (ec2 === undefined) return [];
    const options = { region, endpoint: ec2.endpoint, timeoutMs };
    const origin = ec2Origin(options);
    const spot: Source = {
      name: spotPriceFetch(region),
      origin,
      everyMs: ec2.everyMs,
      async fetch({ last_success_at: last }, signal) {
        const types = await typesIn(region);
        if (types.length === 0) return { rowCount: 0 };
        const now = new Date(nowMs());
        const known = await knownTypes(region);
        const first = now.getTime() - ec2.historyDays * dayMs;
        // A type that is new to the fleet has no history here yet: then all of it is read.
        const isComplete = last !== null && types.every((type) => known.has(type));
        const since = new Date(isComplete ? Math.max(first, last.getTime() - overlapMs) : first);
        const rows = await fetchSpotPrices(options, types, since, now, signal);
        await writeSpotPrices(db, rows);
        await deriveOnDemand(region, now);
        return { rowCount: rows.length };
      },
    };
    const scores: Source = {
      name: placementFetch(region),
      origin,
      // Scores move slowly and EC2 limits how many are asked for in a day.
      everyMs: Math.max(ec2.everyMs, 3_600_000),
      async fetch(_health, signal) {
        const types = await typesIn(region);
        if (types.length === 0) return { rowCount: 0 };
        const rows = await fetchPlacementScores(options, types, new Date(nowMs()), signal);
        await writePlacementScores(db, rows);
        return { rowCount: rows.length };
      },
    };
    return ec2.placementScores ? [spot, scores] : [spot];
  };

  async function knownTypes(region: string): Promise<Set<string>> {
    const rows = await db.selectFrom("spot_prices").select("instance_type").distinct().where("region", "=", region).execute();
    return new Set(rows.map((row) => row.instance_type));
  }

  /** On-demand from the advisor's saving and the mean of the newest spot prices of a type: an estimate, and kept under that name. */
  async function deriveOnDemand(region: string, now: Date): Promise<void> {
    const spot = await db
      .selectFrom("spot_prices")
      .distinctOn(["zone", "instance_type"])
      .select(["instance_type", "usd_per_hour"])
      .where("region", "=", region)
      .orderBy("zone")
      .orderBy("instance_type")
      .orderBy("at", "desc")
      .execute();
    const bands = await db.selectFrom("advisor_bands").selectAll().where("region", "=", region).execute();
    const rows = bands.flatMap((band) => {
      const prices = spot.filter((row) => row.instance_type === band.instance_type).map((row) => row.usd_per_hour);
      const mean = prices.reduce((sum, x) => sum + x, 0) / prices.length;
      if (prices.length === 0 || !(mean > 0) || band.savings_percent >= 100) return [];
      const usd = mean / (1 - band.savings_percent / 100);
      return [
        {
          region,
          instance_type: band.instance_type,
          usd_per_hour: Math.round(usd * 1e4) / 1e4,
          source: "spot-advisor" as const,
          origin: band.origin,
          fetched_at: now,
        },
      ];
    });
    await writeOnDemandPrices(db, rows);
  }

  const ofAdvisor: Source[] =
    advisor === undefined
      ? []
      : [
          {
            name: "spot-advisor",
            origin: advisor.url,
            everyMs: advisor.everyMs,
            async fetch(health, signal) {
              const limits = { timeoutMs, mostBytes: advisorLimits.bytes, allowPrivateAddresses: advisor.allowPrivateAddresses };
              const got = await getDocument(advisor.url, { ...limits, etag: health.etag, lastModified: health.last_modified }, signal);
              if (got.status === "unchanged") return {};
              const now = new Date(nowMs());
              const rows = parseAdvisor(got.text, advisor.url, now);
              await writeAdvisorBands(db, rows);
              for (const region of ec2?.regions ?? []) await deriveOnDemand(region, now);
              return { rowCount: rows.length, etag: got.etag, lastModified: got.lastModified };
            },
          },
        ];

  const sources = [...(ec2?.regions ?? []).flatMap(ofRegion), ...ofAdvisor];
  const fetches = createFetches({ db, kind: "price", sources, nowMs, log, onFetched });

  async function writeConfigured(): Promise<void> {
    await db.deleteFrom("on_demand_prices").where("source", "=", "configured").execute();
    const now = new Date(nowMs());
    const rows = Object.entries(config.onDemandUsdPerHour).flatMap(([region, types]) =>
      Object.entries(types).map(([type, usd]) => ({
        region,
        instance_type: type,
        usd_per_hour: usd,
        source: "configured" as const,
        origin: "prices.onDemandUsdPerHour",
        fetched_at: now,
      })),
    );
    await writeOnDemandPrices(db, rows);
  }

  return {
    routes: priceRoutes({ db, nowMs }),
    runDue: fetches.runDue,
    async start(signal) {
      await writeConfigured();
      const oldest = new Date(nowMs() - config.keepDays * dayMs);
      // The last change before stays: it is the price in force from then on.
      await db
        .deleteFrom("spot_prices")
        .where("at", "<", oldest)
        .where(({ exists, selectFrom }) =>
          exists(
            selectFrom("spot_prices as later")
              .select("later.at")
              .whereRef("later.region", "=", "spot_prices.region")
              .whereRef("later.zone", "=", "spot_prices.zone")
              .whereRef("later.instance_type", "=", "spot_prices.instance_type")
              .whereRef("later.at", ">", "spot_prices.at")
              .where("later.at", "<=", oldest),
          ),
        )
        .execute();
      await fetches.start(signal);
    },
    stop: fetches.stop,
  };
}
