import { sql } from "kysely";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openScratchDatabase, type ScratchDatabase } from "./scratch-database.ts";
import { vacuumAll } from "./vacuum.ts";

let open: ScratchDatabase;
beforeAll(async () => {
  open = await openScratchDatabase();
});
afterAll(() => open.close());

describe("vacuumAll", () => {
  it("rows that come take the place of those that went", async () => {
    const { db } = open;
    const bytes = async () =>
      (await sql<{ bytes: string }>`select pg_total_relation_size('telemetry_samples') as bytes`.execute(db)).rows[0]?.bytes;
    const fill = async () => {
      await sql`insert into telemetry_samples (subject, from_at, samples)
        select 'node/n' || n, now(), decode(repeat('ab', 300), 'hex') from generate_series(1, 5000) n`.execute(db);
      await sql`delete from telemetry_samples`.execute(db);
    };
    await fill();
    const once = Number(await bytes());
    for (let i = 0; i < 4; i++) {
      await vacuumAll(db);
      await fill();
    }
    expect(Number(await bytes())).toBeLessThan(2 * once);
  });

  it("ends between two tables when it is told to", async () => {
    await expect(vacuumAll(open.db, AbortSignal.abort())).resolves.toBeUndefined();
  });
});
