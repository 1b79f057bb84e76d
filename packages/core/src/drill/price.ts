// The price of the node's pool is said to rise: written where the fetchers write, read by the next assessment, weighed as any price is. The row
// goes when the drill ends, so that no saving is counted with a price that nobody asked.
import { fault } from "@aether/contract";
import { type DrillCheck, DrillCheckSchema } from "@aether/contract/gen/aether/v2/drill_pb";
import { NodeFactsSchema } from "@aether/contract/gen/aether/v2/node_pb";
import { AssessmentSchema } from "@aether/contract/gen/aether/v2/risk_pb";
import { create } from "@bufbuild/protobuf";
import type { Db } from "../db/database.ts";
import { fromColumn } from "../db/proto.ts";
import type { Row } from "../db/schema.ts";
import { parsePoolName, poolName, poolOf } from "../prices/pool.ts";
import { freshPrice, readPriceBook } from "../prices/store.ts";
import { hourOf } from "../risk/assessments.ts";

const originOf = (drillId: string): string => `drill/${drillId}`;

export interface AnnouncedPrice {
  readonly pool: string;
  readonly usdPerHour: number;
}

/** Throws DRILL_UNAVAILABLE where the pool or its price is not known: a made-up price would rehearse nothing. */
export async function priceToAnnounce(db: Db, node: Row<"nodes">, factor: number, nowMs: number): Promise<AnnouncedPrice> {
  const pool = poolOf(fromColumn(NodeFactsSchema, node.facts));
  if (pool === undefined)
    throw fault("DRILL_UNAVAILABLE", `the cloud of ${node.id} does not say in which pool it is`, { field: "node_id" });
  const book = await readPriceBook(db, nowMs, nowMs, pool);
  const last = freshPrice(book, pool, nowMs) ?? book.onDemand(pool)?.value;
  if (last === undefined)
    throw fault("DRILL_UNAVAILABLE", `no price of ${poolName(pool)} is known that could rise`, {
      field: "node_id",
      hint: "Configure `prices`: what is fetched, or `prices.onDemandUsdPerHour`.",
    });
  return { pool: poolName(pool), usdPerHour: Math.round(last * factor * 1e6) / 1e6 };
}

/** Repeating it changes nothing. */
export async function announcePrice(db: Db, drill: Row<"drills">, { pool, usdPerHour }: AnnouncedPrice): Promise<void> {
  const { region, zone, instanceType } = parsePoolName(pool, "pool");
  const at = drill.started_at;
  await db
    .insertInto("spot_prices")
    .values({ region, zone, instance_type: instanceType, at, usd_per_hour: usdPerHour, origin: originOf(drill.id), fetched_at: at })
    .onConflict((conflict) => conflict.columns(["region", "zone", "instance_type", "at"]).doNothing())
    .execute();
}

export async function withdrawPrice(db: Db, drillId: string): Promise<void> {
  await db.deleteFrom("spot_prices").where("origin", "=", originOf(drillId)).execute();
}

export interface PriceFacts extends AnnouncedPrice {
  readonly assessedAtMs: number | undefined;
  /** The price that the assessment names among its inputs. */
  readonly assessedPrice: string;
  /** Of an interruption within an hour. */
  readonly before: number | undefined;
  readonly after: number | undefined;
}

export async function readPriceFacts(db: Db, drill: Row<"drills">, announced: AnnouncedPrice): Promise<PriceFacts> {
  const subject = `node/${drill.node_id}`;
  const wanted = `${announced.usdPerHour} USD/h`;
  const newest = await db
    .selectFrom("assessments")
    .selectAll()
    .where("subject", "=", subject)
    .where("at", ">=", drill.started_at)
    .executeTakeFirst();
  const before = await db
    .selectFrom("assessment_history")
    .select("body")
    .where("subject", "=", subject)
    .where("at", "<", drill.started_at)
    .orderBy("id", "desc")
    .limit(1)
    .executeTakeFirst();
  const after = newest === undefined ? undefined : fromColumn(AssessmentSchema, newest.body);
  const said = after?.inputs.find(({ name }) => name === "spot-price")?.value ?? "";
  return {
    ...announced,
    assessedAtMs: said === wanted ? newest?.at.getTime() : undefined,
    assessedPrice: said,
    before: before === undefined ? undefined : hourOf(fromColumn(AssessmentSchema, before.body)),
    after: after === undefined ? undefined : hourOf(after),
  };
}

export function priceCheck(facts: PriceFacts, startedAtMs: number): DrillCheck {
  const percent = (share: number | undefined) => (share === undefined ? "unknown" : `${(100 * share).toFixed(2)} %`);
  const detail =
    facts.assessedAtMs === undefined
      ? `no assessment has read ${facts.usdPerHour} USD/h${facts.assessedPrice === "" ? "" : `; the last one read ${facts.assessedPrice}`}`
      : `${facts.usdPerHour} USD/h was read ${((facts.assessedAtMs - startedAtMs) / 1000).toFixed(2)} s after it rose; ` +
        `an interruption within an hour: ${percent(facts.before)} before, ${percent(facts.after)} after`;
  return create(DrillCheckSchema, { name: "price assessed", isPassed: facts.assessedAtMs !== undefined, detail });
}
