import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openDatabase } from "./database.ts";
import { isUniqueViolation } from "./pglite.ts";
import { openScratchDatabase } from "./scratch-database.ts";

let open: Awaited<ReturnType<typeof openScratchDatabase>>;
beforeAll(async () => {
  open = await openScratchDatabase();
}, 60_000);
afterAll(() => open.close());

describe("the database", () => {
  it("reads dates, numbers and JSON as what they are", async () => {
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
  });

  it("gives each transaction the connection alone, and rolls back", async () => {
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

  it("allows one active placement of a workload, and says which constraint refused", async () => {
    const { db } = open;
    await db.insertInto("placements").values({ workload: "one", epoch: 1, node_id: "a", cause: "run" }).execute();
    const second = db.insertInto("placements").values({ workload: "one", epoch: 2, node_id: "b", cause: "run" }).execute();
    const caught: unknown = await second.then(
      () => undefined,
      (reason: unknown) => reason,
    );
    expect(isUniqueViolation(caught, "placements_one_active")).toBe(true);
    expect(isUniqueViolation(caught, "another")).toBe(false);
  });

  it("refuses a second opening of its directory", async () => {
    await expect(openDatabase(open.dir)).rejects.toMatchObject({ code: "LOCKED" });
  });
});
