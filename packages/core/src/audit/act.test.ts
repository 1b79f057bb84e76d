// An act and its entry on the audit log are one: both are there, or neither is.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sql } from "kysely";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type OpenDatabase, openDatabase } from "../db/database.ts";
import { type TestEngine, testEngines } from "../db/scratch-database.ts";
import type { ResourceState } from "../http/rest/resources.ts";
import { type Acts, createActs, difference } from "./act.ts";
import { type Audit, createAudit } from "./audit.ts";

describe.each(testEngines)("an act, $name", ({ skip, configure }) => {
  let dir: string;
  let configured: Awaited<ReturnType<TestEngine["configure"]>>;
  let database: OpenDatabase;
  let acts: Acts;
  let audit: Audit;
  beforeAll(async () => {
    if (skip !== undefined) return;
    dir = await mkdtemp(join(tmpdir(), "aether-core-"));
    configured = await configure();
    acts = createActs();
    database = await openDatabase({ dataDir: dir, postgres: configured.postgres, isDurable: false, hook: acts });
    audit = createAudit(database.db, () => 1_750_000_000_000);
    acts.useAudit(audit);
  }, 60_000);
  afterAll(async () => {
    if (skip !== undefined) return;
    await database.close();
    await configured.done();
    await rm(dir, { recursive: true, force: true, maxRetries: 5 });
  });
  beforeEach(async (context) => {
    if (skip !== undefined) context.skip(skip);
    await database.db.deleteFrom("nodes").execute();
    await database.db.insertInto("nodes").values({ id: "a", facts: {} }).execute();
  });

  const read = async () => {
    const row = await database.db.selectFrom("nodes").select(["is_cordoned", "cordon_reason"]).where("id", "=", "a").executeTakeFirst();
    if (row === undefined) return undefined;
    return { json: { node: { isCordoned: row.is_cordoned, reason: row.cordon_reason } }, tag: row.cordon_reason };
  };
  const act = async <Found>(work: () => Promise<Found>, require?: (now: ResourceState | undefined) => void) => {
    const entry = { actor: "token/me", action: "node.cordon", subject: "node/a", data: { id: "a" } };
    return acts.run({ entry, resource: { key: "node a", before: (await read())?.json, read, require } }, work);
  };
  const cordon = () => database.db.updateTable("nodes").set({ is_cordoned: true, cordon_reason: "work" }).where("id", "=", "a").execute();
  const newest = async () => (await audit.list({ before: 0, limit: 1 }))[0];
  const count = async () => Number((await newest())?.sequence ?? 0);

  it("of one statement becomes a transaction with its entry, which says what was and what is", async () => {
    const before = await count();
    expect(await act(cordon)).toMatchObject({ isOnRecord: true, result: { status: "fulfilled" } });
    expect(await count()).toBe(before + 1);
    const { outcome, actor, dataJson } = (await newest())!;
    expect([outcome, actor]).toEqual(["ok", "token/me"]);
    expect(JSON.parse(dataJson)).toEqual({
      id: "a",
      before: { "node.isCordoned": false, "node.reason": "" },
      after: { "node.isCordoned": true, "node.reason": "work" },
    });
  });

  it("of a transaction has its entry in it: the first one only, however many follow", async () => {
    const before = await count();
    const { isOnRecord } = await act(async () => {
      await database.db.transaction().execute(async (tx) => {
        await tx.updateTable("nodes").set({ cordon_reason: "one" }).where("id", "=", "a").execute();
        await tx.updateTable("nodes").set({ is_cordoned: true }).where("id", "=", "a").execute();
      });
      await cordon();
      await database.db.selectFrom("nodes").selectAll().execute();
    });
    expect([isOnRecord, await count()]).toEqual([true, before + 1]);
    expect(JSON.parse((await newest())!.dataJson).after).toEqual({ "node.isCordoned": true, "node.reason": "one" });
  });

  it("that is rolled back has no entry, and one that reads only has none", async () => {
    const before = await count();
    const failed = await act(() =>
      database.db.transaction().execute(async (tx) => {
        await tx.deleteFrom("nodes").where("id", "=", "a").execute();
        throw new Error("no");
      }),
    );
    expect(failed).toMatchObject({ isOnRecord: false, result: { status: "rejected" } });
    expect(await act(read)).toMatchObject({ isOnRecord: false });
    expect(await count()).toBe(before);
    expect(await read()).toBeDefined();
  });

  it("is not made when its entry cannot be", async () => {
    await sql`alter table audit_head rename to audit_head_away`.execute(database.db);
    try {
      expect(await act(cordon)).toMatchObject({ isOnRecord: false, result: { status: "rejected" } });
      expect((await read())?.json).toEqual({ node: { isCordoned: false, reason: "" } });
    } finally {
      await sql`alter table audit_head_away rename to audit_head`.execute(database.db);
    }
  });

  it("asks in its own transaction for what must still hold: of many who have read the same, one gets through", async () => {
    const seen = (await read())?.tag;
    const unchanged = (now: ResourceState | undefined) => {
      if (now?.tag !== seen) throw new Error("changed");
    };
    const set = (reason: string) =>
      act(async () => {
        // Each has looked before any has written: only the look inside can tell them apart.
        await new Promise((resolve) => setTimeout(resolve, 20));
        await database.db.transaction().execute(async (tx) => {
          await tx.updateTable("nodes").set({ cordon_reason: reason }).where("id", "=", "a").execute();
        });
      }, unchanged);
    const ended = await Promise.all(["one", "two", "three", "four"].map(set));
    expect(ended.map(({ result }) => result.status).sort()).toEqual(["fulfilled", "rejected", "rejected", "rejected"]);
    expect(ended.filter(({ isOnRecord }) => isOnRecord)).toHaveLength(1);
    // A refused one leaves nothing behind: not its change, not its transaction.
    expect((await read())?.tag).toBe(JSON.parse((await newest())!.dataJson).after["node.reason"]);
    expect(await act(cordon)).toMatchObject({ isOnRecord: true });
  });

  it("whose reading fails is made and recorded all the same, and what it woke is not its act", async () => {
    const before = await count();
    let woken: Promise<unknown> = Promise.resolve();
    const entry = { actor: "token/me", action: "node.cordon", subject: "node/a" };
    const { isOnRecord } = await acts.run(
      { entry, resource: { key: "node a", before: undefined, read: () => sql`select 1 / 0`.execute(database.db).then(() => undefined) } },
      async () => {
        await cordon();
        woken = new Promise((resolve) => setTimeout(resolve, 20)).then(() =>
          database.db.updateTable("nodes").set({ is_cordoned: false }).execute(),
        );
      },
    );
    await woken;
    expect([isOnRecord, await count()]).toEqual([true, before + 1]);
    expect((await audit.verify()).isIntact).toBe(true);
  });

  it("of many at once each have their own entry", async () => {
    const before = await count();
    const add = (id: string) =>
      acts.run({ entry: { actor: `token/${id}`, action: "node.add", subject: `node/${id}` } }, () =>
        database.db.insertInto("nodes").values({ id, facts: {} }).execute(),
      );
    await Promise.all(Array.from({ length: 20 }, (_, i) => add(`n${i}`)));
    const entries = await audit.list({ before: 0, limit: 20 });
    expect(await count()).toBe(before + 20);
    for (const { actor, subject } of entries) expect(actor.replace("token/", "node/")).toBe(subject);
    expect(new Set(entries.map(({ subject }) => subject)).size).toBe(20);
    expect((await audit.verify()).isIntact).toBe(true);
  });
});

it("differences are by path, bounded in number and length", () => {
  expect(difference(undefined, { a: { b: 1 } })).toEqual({ before: {}, after: { "a.b": 1 } });
  expect(difference({ a: [1, 2], c: "x" }, { a: [1, 2], c: "x" })).toEqual({});
  expect(difference({ a: [1] }, undefined)).toEqual({ before: { a: "[1]" }, after: {} });
  const many = Object.fromEntries(Array.from({ length: 100 }, (_, i) => [`k${i}`, "x".repeat(1000)]));
  const { after = {} } = difference({}, many);
  expect(Object.keys(after)).toHaveLength(40);
  expect(String(after.k0).length).toBe(301);
});
