// What is written to the database and must be trusted later: schema files, the event stream, the audit chain.

import { silentLogger } from "@aether/kit";
import { sql, type Transaction } from "kysely";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createAudit } from "../audit/audit.ts";
import { createEvents } from "../events/events.ts";
import { createRetention } from "../events/retention.ts";
import { createCommandStore } from "../fleet/command-store.ts";
import { migrateSchema, readSchemaFiles } from "./migrate.ts";
import type { Database } from "./schema.ts";
import { openScratchDatabase } from "./scratch-database.ts";

let open: Awaited<ReturnType<typeof openScratchDatabase>>;
beforeAll(async () => {
  open = await openScratchDatabase();
}, 60_000);
afterAll(() => open.close());

describe("schema files", () => {
  it("run once, in order, and refuse one that was changed afterwards or that is not known", async () => {
    const { db } = open;
    const thread = {
      query: async (text: string) => ({ rows: (await sql.raw(text).execute(db)).rows }),
      exec: async (text: string) => {
        await sql.raw(text).execute(db);
      },
    };
    const files = await readSchemaFiles();
    expect(await migrateSchema(thread, files)).toEqual([]);
    const changed = files.map((file, i) => (i === 0 ? { ...file, sha256: "other" } : file));
    await expect(migrateSchema(thread, changed)).rejects.toMatchObject({
      code: "STORAGE_FAILED",
      message: expect.stringContaining("was changed"),
    });
    await expect(migrateSchema(thread, [])).rejects.toMatchObject({ message: expect.stringContaining("newer version") });
  });
});

describe("events", () => {
  it("are seen in order by a watcher, resumed by sequence, and never when rolled back", async () => {
    const { db } = open;
    const events = createEvents(db, open.notices);
    const event = (message: string) => ({ type: "test.event", subject: "node/a", message });
    await events.append(db, event("one"), event("two"));
    const first = (await events.list({ after: 0, subject: "node/a", limit: 10 }))[0]!;
    const abort = new AbortController();
    const seen: string[] = [];
    const watching = (async () => {
      for await (const { message } of events.watch({ after: Number(first.sequence), subject: "node/a" }, abort.signal)) {
        seen.push(message);
        if (message === "last") abort.abort();
      }
    })();
    await db
      .transaction()
      .execute(async (tx) => {
        await events.append(tx, event("never"));
        throw new Error("no");
      })
      .catch(() => undefined);
    await events.append(db, { ...event("other"), subject: "node/b" });
    await events.append(db, event("last"));
    await watching;
    expect(seen).toEqual(["two", "last"]);
  });

  it("are bounded in number", async () => {
    const { db } = open;
    const events = createEvents(db, open.notices);
    await events.append(db, ...Array.from({ length: 20 }, (_, i) => ({ type: "t", subject: "core", message: String(i) })));
    const parts = { db, needsVacuum: false, commands: createCommandStore(db), nowMs: () => Date.now(), log: silentLogger };
    await createRetention({ ...parts, keep: () => ({ days: 1, count: 5, runbookRunsDays: 1 }) }).cut();
    const left = await events.list({ after: 0, limit: 100 });
    expect(left.map(({ message }) => message)).toEqual(["15", "16", "17", "18", "19"]);
    const [newest] = await events.list({ after: 0, limit: 1, isNewestFirst: true });
    expect(newest?.message).toBe("19");

    // Whoever resumes from before the cut, or from a place that is not yet, is told; from the cut itself nothing is missing.
    const follow = async (after: number) => {
      const abort = new AbortController();
      for await (const { message } of events.watch({ after }, abort.signal)) return message;
      return undefined;
    };
    const cut = Number(left[0]!.sequence) - 1;
    await expect(follow(cut - 1)).rejects.toMatchObject({ code: "EVENTS_GONE", details: { keptAfter: String(cut) } });
    await expect(follow(Number(newest!.sequence) + 1)).rejects.toMatchObject({ code: "EVENTS_GONE" });
    expect(await follow(cut)).toBe("15");
  });
});

describe("runs of runbooks", () => {
  it("go when their time is over, but for the newest of each runbook and what is under way", async () => {
    const { db } = open;
    const daysAgo = (days: number) => new Date(Date.now() - days * 86_400_000);
    const run = (id: string, runbook: string, endedDaysAgo: number | undefined) => ({
      ...{ id, runbook, version: 1, started_by: "token/t", credential: "token/t", source_address: "", trace_id: "" },
      role: "admin" as const,
      state: endedDaysAgo === undefined ? ("running" as const) : ("done" as const),
      parameters: JSON.stringify({ id }),
      started_at: daysAgo(99),
      ended_at: endedDaysAgo === undefined ? null : daysAgo(endedDaysAgo),
    });
    const rows = [run("run-1", "a", 40), run("run-2", "a", undefined), run("run-3", "a", 10), run("run-4", "a", 35), run("run-5", "b", 80)];
    await db.insertInto("runbook_runs").values(rows).execute();
    await db
      .insertInto("runbook_steps")
      .values(
        rows.map(({ id }) => ({ run_id: id, position: 0, name: "s", act: "wait", inputs: "{}", on_failure: "stop", timeout_seconds: 1 })),
      )
      .execute();
    const parts = { db, needsVacuum: false, commands: createCommandStore(db), nowMs: () => Date.now(), log: silentLogger };
    const keep = () => ({ days: 1, count: 1_000, runbookRunsDays: 30 });
    await createRetention({ ...parts, keep }).cut();
    const left = await db.selectFrom("runbook_runs").select("id").orderBy("id").execute();
    expect(left.map(({ id }) => id)).toEqual(["run-2", "run-3", "run-4", "run-5"]);
    expect(await db.selectFrom("runbook_steps").select("run_id").where("run_id", "=", "run-1").execute()).toEqual([]);
    await db.deleteFrom("runbook_runs").execute();
  });
});

describe("the audit chain", () => {
  it("is whole under concurrent writers, and says where it was changed", async () => {
    const { db } = open;
    const audit = createAudit(db, () => 1_750_000_000_000);
    await Promise.all(
      Array.from({ length: 12 }, (_, i) =>
        audit.record({ actor: "core", action: "test.act", subject: `n/${i}`, outcome: "ok", data: { i } }),
      ),
    );
    const whole = await audit.verify();
    expect(whole).toMatchObject({ isIntact: true, entryCount: 12, brokenAtSequence: 0, reason: "" });
    expect((await audit.list({ before: 0, limit: 1 }))[0]?.hash).toBe(whole.lastHash);
    const only = { actor: "core", subject: "n/7", action: "test.act", outcome: "ok" };
    expect(await audit.list({ before: 0, limit: 5, only })).toMatchObject([{ subject: "n/7" }]);
    expect(await audit.list({ before: 0, limit: 5, only: { ...only, outcome: "denied" } })).toEqual([]);
    expect(await audit.get(Number(whole.entryCount))).toMatchObject({ hash: whole.lastHash });

    await expect(db.updateTable("audit").set({ actor: "nobody" }).where("sequence", "=", 5).execute()).rejects.toThrow(/append-only/);
    await expect(db.deleteFrom("audit").execute()).rejects.toThrow(/append-only/);
    await expect(sql`truncate audit`.execute(db)).rejects.toThrow(/append-only/);

    /** Whoever owns the tables may take the guard away; the chain then tells. Each change is taken back by a roll-back. */
    const verdictAfter = async (change: (tx: Transaction<Database>) => Promise<unknown>, known?: { sequence: number; hash: string }) => {
      let verdict: unknown;
      await db
        .transaction()
        .execute(async (tx) => {
          await sql`alter table audit disable trigger all`.execute(tx);
          await change(tx);
          verdict = await createAudit(tx, () => 0).verify(known);
          throw new Error("taken back");
        })
        .catch((caught: unknown) => {
          if (!(caught instanceof Error) || caught.message !== "taken back") throw caught;
        });
      return verdict;
    };
    const row = (sequence: number) => db.selectFrom("audit").selectAll().where("sequence", "=", sequence).executeTakeFirstOrThrow();
    const fifth = await row(5);
    for (const [field, value] of Object.entries({
      actor: "x",
      source_address: "x",
      action: "x",
      subject: "x",
      outcome: "denied",
      data: "{}",
      trace_id: "x",
      at_ms: 1,
    })) {
      expect([
        field,
        await verdictAfter((tx) =>
          tx
            .updateTable("audit")
            .set({ [field]: value })
            .where("sequence", "=", 5)
            .execute(),
        ),
      ]).toEqual([field, expect.objectContaining({ isIntact: false, brokenAtSequence: 5, reason: "entry 5 was changed" })]);
    }
    expect(await verdictAfter((tx) => tx.deleteFrom("audit").where("sequence", "=", 7).execute())).toMatchObject({
      brokenAtSequence: 7,
      reason: "entry 7 is missing",
    });
    expect(await verdictAfter((tx) => tx.deleteFrom("audit").where("sequence", "=", 1).execute())).toMatchObject({ brokenAtSequence: 1 });
    expect(await verdictAfter((tx) => tx.deleteFrom("audit").where("sequence", ">", 10).execute())).toMatchObject({
      brokenAtSequence: 11,
      reason: "entries after 10 were removed",
    });
    expect(await verdictAfter((tx) => tx.deleteFrom("audit").execute())).toMatchObject({ isIntact: false, brokenAtSequence: 1 });
    const swapped = await verdictAfter(async (tx) => {
      await tx.updateTable("audit").set({ sequence: 100 }).where("sequence", "=", 3).execute();
      await tx.updateTable("audit").set({ sequence: 3 }).where("sequence", "=", 4).execute();
      await tx.updateTable("audit").set({ sequence: 4 }).where("sequence", "=", 100).execute();
    });
    expect(swapped).toMatchObject({ isIntact: false, brokenAtSequence: 3, reason: "entry 3 does not follow entry 2" });
    // A chain that was written anew from some entry on fits itself; only a place that was kept elsewhere tells.
    expect(await verdictAfter(async () => undefined, { sequence: 5, hash: fifth.hash })).toMatchObject({ isIntact: true });
    expect(await verdictAfter(async () => undefined, { sequence: 5, hash: "0".repeat(64) })).toMatchObject({
      isIntact: false,
      brokenAtSequence: 5,
    });
    expect(await verdictAfter(async () => undefined, { sequence: 99, hash: fifth.hash })).toMatchObject({
      isIntact: false,
      brokenAtSequence: 13,
    });
    expect(await audit.verify()).toEqual(whole);
  });

  it("has no entry for an act that was rolled back", async () => {
    const { db } = open;
    const audit = createAudit(db, () => 1);
    const before = await audit.list({ before: 0, limit: 1 });
    await db
      .transaction()
      .execute(async (tx) => {
        await audit.record({ actor: "core", action: "x.y", subject: "z", outcome: "ok" }, tx);
        throw new Error("no");
      })
      .catch(() => undefined);
    expect(await audit.list({ before: 0, limit: 1 })).toEqual(before);
  });
});
