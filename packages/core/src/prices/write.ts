// Rows that the fetchers bring, kept so that a repeat changes nothing.
import type { Kysely } from "kysely";
import type { Database, NewRow } from "../db/schema.ts";

/** A price that is known already is left alone: history does not change. */
export async function writeSpotPrices(db: Kysely<Database>, rows: readonly NewRow<"spot_prices">[]): Promise<void> {
  for (let i = 0; i < rows.length; i += 500) {
    await db
      .insertInto("spot_prices")
      .values(rows.slice(i, i + 500))
      .onConflict((conflict) => conflict.columns(["region", "zone", "instance_type", "at"]).doNothing())
      .execute();
  }
}

export async function writeOnDemandPrices(db: Kysely<Database>, rows: readonly NewRow<"on_demand_prices">[]): Promise<void> {
  if (rows.length === 0) return;
  await db
    .insertInto("on_demand_prices")
    .values([...rows])
    .onConflict((conflict) =>
      conflict.columns(["region", "instance_type", "source"]).doUpdateSet((eb) => ({
        usd_per_hour: eb.ref("excluded.usd_per_hour"),
        origin: eb.ref("excluded.origin"),
        fetched_at: eb.ref("excluded.fetched_at"),
      })),
    )
    .execute();
}

export async function writePlacementScores(db: Kysely<Database>, rows: readonly NewRow<"placement_scores">[]): Promise<void> {
  if (rows.length === 0) return;
  await db
    .insertInto("placement_scores")
    .values([...rows])
    .onConflict((conflict) =>
      conflict.columns(["region", "zone", "instance_type"]).doUpdateSet((eb) => ({
        score: eb.ref("excluded.score"),
        origin: eb.ref("excluded.origin"),
        fetched_at: eb.ref("excluded.fetched_at"),
      })),
    )
    .execute();
}

export async function writeAdvisorBands(db: Kysely<Database>, rows: readonly NewRow<"advisor_bands">[]): Promise<void> {
  for (let i = 0; i < rows.length; i += 500) {
    await db
      .insertInto("advisor_bands")
      .values(rows.slice(i, i + 500))
      .onConflict((conflict) =>
        conflict.columns(["region", "instance_type"]).doUpdateSet((eb) => ({
          band: eb.ref("excluded.band"),
          savings_percent: eb.ref("excluded.savings_percent"),
          origin: eb.ref("excluded.origin"),
          fetched_at: eb.ref("excluded.fetched_at"),
        })),
      )
      .execute();
  }
}
