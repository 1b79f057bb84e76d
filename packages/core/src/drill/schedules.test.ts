// The watch over schedules: what is due begins once, what is too late is missed and told.
import { silentLogger, until } from "@aether/kit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createAudit } from "../audit/audit.ts";
import type { NewRow } from "../db/schema.ts";
import { openScratchDatabase, type ScratchDatabase } from "../db/scratch-database.ts";
import { createEvents } from "../events/events.ts";
import { createDrills } from "./drills.ts";
import { createDrillSchedules } from "./schedules.ts";

let database: ScratchDatabase;
beforeAll(async () => {
  database = await openScratchDatabase();
}, 60_000);
afterAll(() => database.close());

const row = (name: string, over: Partial<NewRow<"drill_schedules">> = {}): NewRow<"drill_schedules"> => ({
  id: `drs-${name}`,
  name,
  kind: "notice",
  node_id: "n1",
  window_seconds: 60,
  cron: null,
  every_seconds: 3600,
  time_zone: "UTC",
  created_at: new Date(Date.now() - 7_200_000),
  created_by: "token/test",
  next_at: new Date(Date.now() - 1_000),
  ...over,
});

describe("what is due", () => {
  it("begins once, is missed when it is too late, refused when it cannot begin, and found when a crash cut it off", async () => {
    const { db } = database;
    await db
      .insertInto("drill_schedules")
      .values([
        row("due"),
        row("late", { next_at: new Date(Date.now() - 600_000) }),
        row("refused", { node_id: "" }),
        row("paused", { next_at: null }),
        row("cut", { next_at: new Date(Date.now() + 3_600_000), last_outcome: "beginning", last_at: new Date() }),
      ])
      .execute();
    const begun: string[] = [];
    const events = createEvents(db, database.notices);
    const schedules = createDrillSchedules({
      db,
      events,
      sessions: { connectedNodes: () => [] },
      begin: async (wanted, { schedule }) => {
        begun.push(`${schedule?.id} on ${wanted.nodeId}`);
        return "drl-1";
      },
      nowMs: Date.now,
      log: silentLogger,
      lookMs: 20,
    });
    await schedules.start?.(new AbortController().signal);
    const read = async () => {
      const rows = await db.selectFrom("drill_schedules").selectAll().orderBy("name").execute();
      return Object.fromEntries(rows.map((each) => [each.name, each]));
    };
    const all = await until("all are looked at", 20, 10_000, async () => {
      const found = await read();
      return ["due", "late", "refused"].every((name) => !["", "beginning"].includes(found[name]?.last_outcome ?? "")) ? found : undefined;
    });
    await schedules.stop();
    expect(begun).toEqual(["drs-due on n1"]);
    expect(all.due).toMatchObject({ last_outcome: "begun", last_drill_id: "drl-1", missed_count: 0 });
    expect(all.due?.next_at?.getTime()).toBeGreaterThan(Date.now());
    expect(all.late).toMatchObject({ last_outcome: expect.stringMatching(/^missed: no control plane led at/), missed_count: 1 });
    expect(all.refused).toMatchObject({ last_outcome: "refused: NODE_NOT_FOUND: no node is connected", missed_count: 1 });
    expect(all.paused).toMatchObject({ last_outcome: "", missed_count: 0 });
    expect(all.cut).toMatchObject({ last_outcome: "missed: the control plane ended before it began", missed_count: 1 });
    const told = (await events.list({ after: 0, limit: 100 })).filter(({ type }) => type === "drill.missed").map(({ subject }) => subject);
    expect(told.sort()).toEqual(["drill-schedule/cut", "drill-schedule/late", "drill-schedule/refused"]);
  });

  it("is on the audit log as the schedule's own act, with the drill it began", async () => {
    const { db, notices } = database;
    await db.insertInto("nodes").values({ id: "n1", facts: {} }).execute();
    await db.insertInto("drill_schedules").values(row("nightly")).execute();
    const audit = createAudit(db, Date.now);
    const events = createEvents(db, notices);
    const announced: string[] = [];
    const common = { db, events, nowMs: Date.now, log: silentLogger };
    const drills = createDrills({
      ...common,
      audit,
      sessions: { isConnected: () => true, send: () => Promise.reject(new Error("nothing is sent to begin a notice")) },
      // The edge: what the cloud would announce.
      injector: { announce: async (nodeId, kind) => void announced.push(`${kind} for ${nodeId}`), withdraw: async () => {} },
      canAnnounce: true,
      assess: async () => {},
      identity: {
        current: () => {
          throw new Error("nothing is signed to begin a drill");
        },
        onRotate: () => () => {},
      },
      trustDomain: "test.local",
    });
    const schedules = createDrillSchedules({ ...common, sessions: { connectedNodes: () => [] }, begin: drills.begin, lookMs: 20 });
    await schedules.start?.(new AbortController().signal);
    const [entry] = await until("the entry", 20, 10_000, async () => {
      const found = await audit.list({ before: 0, limit: 10, only: { actor: "drill-schedule/nightly" } });
      return found.length > 0 ? found : undefined;
    });
    await schedules.stop();
    await drills.stop();
    const { id } = await db.selectFrom("drills").select("id").executeTakeFirstOrThrow();
    expect(entry).toMatchObject({ action: "drill.start", subject: `drill/${id}`, outcome: "ok" });
    expect(JSON.parse(entry?.dataJson ?? "")).toEqual({ scheduleId: "drs-nightly", nodeId: "n1", kind: "notice" });
    expect(announced).toEqual(["notice for n1"]);
  });
});
