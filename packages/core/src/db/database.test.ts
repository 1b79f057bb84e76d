// What the parts may expect of the database, the same on both engines.
import { sql } from "kysely";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openDatabase } from "./database.ts";
import { type ScratchDatabase, testEngines } from "./scratch-database.ts";
import { isUniqueViolation, StatementError } from "./statement-error.ts";

const reasonOf = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => undefined,
    (reason: unknown) => reason,
  );

describe.each(testEngines)("the database, $name", ({ skip, open: openScratch, name: engineName }) => {
  let open: ScratchDatabase;
  beforeAll(async () => {
    if (skip === undefined) open = await openScratch();
  }, 60_000);
  afterAll(() => open?.close());
  const test = (name: string, body: () => Promise<void>) =>
    it(name, async (context) => {
      if (skip !== undefined) context.skip(skip);
      await body();
    });

  test("reads dates, numbers and JSON as what they are", async () => {
    const { db } = open;
    await db
      .insertInto("nodes")
      .values({ id: "a", facts: { hostname: "h", list: [1, "x"] } })
      .execute();
    const row = await db.selectFrom("nodes").selectAll().where("id", "=", "a").executeTakeFirstOrThrow();
    expect(row.facts).toEqual({ hostname: "h", list: [1, "x"] });
    expect(row.registered_at).toBeInstanceOf(Date);
    await db.insertInto("placements").values({ workload: "w", epoch: 7, node_id: "a", cause: "run" }).execute();
    expect((await db.selectFrom("placements").select("epoch").executeTakeFirstOrThrow()).epoch).toBe(7);
    const at = new Date("2026-01-02T03:04:05.678Z");
    await db.updateTable("nodes").set({ seen_at: at, clock_offset_ms: 1.5 }).where("id", "=", "a").execute();
    expect(await db.selectFrom("nodes").select(["seen_at", "clock_offset_ms", "is_cordoned"]).executeTakeFirst()).toEqual({
      seen_at: at,
      clock_offset_ms: 1.5,
      is_cordoned: false,
    });
    const updated = await db.updateTable("nodes").set({ lost_at: at }).where("id", "=", "a").executeTakeFirstOrThrow();
    expect(updated.numUpdatedRows).toBe(1n);
  });

  test("rolls back what fails, and keeps transactions apart", async () => {
    const { db } = open;
    const add = (name: string, fail: boolean) =>
      db.transaction().execute(async (tx) => {
        await tx.insertInto("nodes").values({ id: name, facts: {} }).execute();
        await new Promise((resolve) => setTimeout(resolve, 5));
        if (fail) throw new Error("no");
      });
    const results = await Promise.allSettled(Array.from({ length: 10 }, (_, i) => add(`t${i}`, i % 2 === 1)));
    expect(results.filter(({ status }) => status === "rejected")).toHaveLength(5);
    const rows = await db.selectFrom("nodes").select("id").where("id", "like", "t%").execute();
    expect(rows.map(({ id }) => id).sort()).toEqual(["t0", "t2", "t4", "t6", "t8"]);
  });

  test("allows one active placement of a workload, and says which constraint refused", async () => {
    const { db } = open;
    await db.insertInto("placements").values({ workload: "one", epoch: 1, node_id: "a", cause: "run" }).execute();
    const caught = await reasonOf(db.insertInto("placements").values({ workload: "one", epoch: 2, node_id: "b", cause: "run" }).execute());
    expect(isUniqueViolation(caught, "placements_one_active")).toBe(true);
    expect(isUniqueViolation(caught, "another")).toBe(false);
    expect(await reasonOf(sql`select 1 / 0`.execute(db))).toMatchObject({ code: "22012" });
    expect(await reasonOf(sql`select 1 / 0`.execute(db))).toBeInstanceOf(StatementError);
  });

  test("tells its listeners after the commit, and never of what was rolled back", async () => {
    const { db, notices } = open;
    const heard: (string | undefined)[] = [];
    const stop = notices.listen("testing", (payload) => heard.push(payload));
    const say = (text: string) => sql`select pg_notify('testing', ${text})`.execute(db);
    // A server's listening begins a moment later than the call.
    await expect.poll(async () => (await say("ready")) && heard.includes("ready"), { timeout: 10_000 }).toBe(true);
    await reasonOf(
      db.transaction().execute(async (tx) => {
        await sql`select pg_notify('testing', 'never')`.execute(tx);
        throw new Error("no");
      }),
    );
    let isCommitted = false;
    await db.transaction().execute(async (tx) => {
      await sql`select pg_notify('testing', 'said')`.execute(tx);
      await new Promise((resolve) => setTimeout(resolve, 30));
      expect(heard).not.toContain("said");
      isCommitted = true;
    });
    await expect.poll(() => heard.at(-1)).toBe("said");
    expect(isCommitted).toBe(true);
    expect(heard).not.toContain("never");
    stop();
    await say("late");
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(heard).not.toContain("late");
  });

  test("refuses a second process on its directory", async () => {
    await expect(openDatabase({ dataDir: open.dir, postgres: open.postgres })).rejects.toMatchObject({ code: "LOCKED" });
    expect(open.engine).toBe(engineName);
  });
});
