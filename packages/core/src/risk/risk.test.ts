import { Fault } from "@aether/contract";
import { AnalyzeRequestSchema, RiskService } from "@aether/contract/gen/aether/v2/risk_pb";
import { silentLogger, until } from "@aether/kit";
import { DEFAULT_ASSESS_SETTINGS, DEFAULT_RULE_THRESHOLDS, probabilityWithin } from "@aether/risk";
import { create } from "@bufbuild/protobuf";
import { createClient, createRouterTransport, type Interceptor } from "@connectrpc/connect";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { openScratchDatabase, type ScratchDatabase } from "../db/scratch-database.ts";
import { createEvents } from "../events/events.ts";
import { createSignalIntake } from "../fleet/signal-intake.ts";
import { readNodeViews } from "../migration/fleet-view.ts";
import { spotPriceFetch } from "../prices/store.ts";
import { answerAnalyze } from "./analyze.ts";
import { createAssessments, hourOf } from "./assessments.ts";
import { weighingConfig } from "./config.ts";
import { levelOf } from "./level.ts";
import { survivalCurve } from "./survival.ts";
import { createRiskWatch } from "./watch.ts";
import { createWeigh, weighingOf } from "./weigh.ts";

const sayFaults: Interceptor = (next) => async (request) => {
  try {
    return await next(request);
  } catch (caught) {
    throw Fault.from(caught).toConnectError();
  }
};
const pool = "pool/us-east-1/us-east-1a/m5.large";
const hour = 3_600_000;
let database: ScratchDatabase;
let nowMs = Date.parse("2026-05-04T12:00:00Z");
let assessments: ReturnType<typeof createAssessments>;
let client: ReturnType<typeof createClient<typeof RiskService>>;

const options = (): Parameters<typeof createAssessments>[0] => ({
  db: database.db,
  events: createEvents(database.db, database.notices),
  sessions: { onSignal: () => () => undefined, onHello: () => () => undefined },
  settings: { assess: DEFAULT_ASSESS_SETTINGS, thresholds: DEFAULT_RULE_THRESHOLDS, everyMs: 60_000, keepDays: 14 },
  weighing: weighingOf(weighingConfig.parse({})),
  nowMs: () => nowMs,
  log: silentLogger,
});

beforeAll(async () => {
  database = await openScratchDatabase();
}, 60_000);
afterAll(() => database.close());

beforeEach(async () => {
  nowMs = Date.parse("2026-05-04T12:00:00Z");
  // It keeps in mind what it said last.
  assessments = createAssessments(options());
  client = createClient(
    RiskService,
    createRouterTransport((router) => assessments.routes?.(router), {
      router: { interceptors: [sayFaults] },
    }),
  );
  for (const table of [
    "assessments",
    "assessment_history",
    "signals",
    "drills",
    "nodes",
    "events",
    "spot_prices",
    "on_demand_prices",
    "advisor_bands",
    "placement_scores",
    "incidents",
    "fetches",
  ] as const)
    await database.db.deleteFrom(table).execute();
  await node("n1");
  await node("n2");
  await node("n3", { zone: "us-east-1b" });
  await node("od", { lifecycle: "on-demand" });
});

const node = (id: string, cloud: { zone?: string; lifecycle?: string } = {}) =>
  database.db
    .insertInto("nodes")
    .values({
      id,
      facts: JSON.stringify({
        hostname: id,
        cloud: { region: "us-east-1", zone: cloud.zone ?? "us-east-1a", instanceType: "m5.large", lifecycle: cloud.lifecycle ?? "spot" },
      }),
      registered_at: new Date(nowMs - 5 * hour),
    })
    .execute();
const signal = (id: string, nodeId: string, kind: "notice" | "rebalance" | "withdrawn" | "node_lost", agoMs: number) =>
  database.db
    .insertInto("signals")
    .values({ id, node_id: nodeId, kind, observed_at: new Date(nowMs - agoMs), received_at: new Date(nowMs - agoMs), source: "imds" })
    .execute();
const of = async (subject: string) => {
  const found = (await assessments.pass("timer")).find((each) => each.subject === subject);
  if (!found) throw new Error(`no assessment of ${subject}`);
  return found;
};

describe("assessments", () => {
  it("assesses spot nodes and their pools, the most endangered first, and leaves on-demand alone", async () => {
    await database.db
      .updateTable("nodes")
      .set({ interruption_at: new Date(nowMs + 90_000) })
      .where("id", "=", "n3")
      .execute();
    await assessments.pass("timer");
    const { assessments: list } = await client.listAssessments({});
    expect(list.map(({ subject }) => subject).sort()).toEqual(
      ["node/n1", "node/n2", "node/n3", pool, "pool/us-east-1/us-east-1b/m5.large"].sort(),
    );
    expect(list[0]?.subject).toBe("node/n3");
    expect(list[0]?.horizons.map(({ probability }) => probability)).toEqual([1, 1, 1, 1, 1]);
    expect(list[0]?.contributions[0]).toMatchObject({ name: "notice", source: "certain" });
    const { assessments: nodes, nextPageToken } = await client.listAssessments({ kind: "node", page: { pageSize: 2 } });
    expect(nodes).toHaveLength(2);
    const rest = await client.listAssessments({ kind: "node", page: { pageSize: 2, pageToken: nextPageToken } });
    expect(rest.assessments).toHaveLength(1);
  });

  it("are what targets are scored by, with the price of each one's pool; an on-demand node has no risk and the list's price", async () => {
    const at = new Date(nowMs - hour);
    const price = { region: "us-east-1", instance_type: "m5.large", usd_per_hour: 0.04, origin: "test", fetched_at: at };
    await database.db
      .insertInto("spot_prices")
      .values({ ...price, zone: "us-east-1a", at })
      .execute();
    await database.db
      .insertInto("on_demand_prices")
      .values({ ...price, usd_per_hour: 0.096, source: "configured" })
      .execute();
    const n1 = hourOf(await of("node/n1"));
    const seen = new Map((await readNodeViews(database.db, () => true)).map((view) => [view.id, view]));
    expect(seen.get("n1")).toMatchObject({ riskPerHour: n1, usdPerHour: 0.04 });
    expect(seen.get("n3")?.riskPerHour).toBeGreaterThan(0);
    expect(seen.get("n3")?.usdPerHour).toBeUndefined();
    expect(seen.get("od")).toMatchObject({ riskPerHour: 0, usdPerHour: 0.096 });
  });

  it("counts another node's loss in the pool as evidence, but neither a drill nor what was withdrawn", async () => {
    const quiet = hourOf(await of("node/n1"));
    await signal("sig-1", "n2", "notice", 600_000);
    const worse = hourOf(await of("node/n1"));
    expect(worse).toBeGreaterThan(quiet);
    await database.db
      .insertInto("drills")
      .values({ id: "drl-1", kind: "notice", node_id: "n2", state: "passed", window_seconds: 60, signal_id: "sig-1" })
      .execute();
    expect(hourOf(await of("node/n1"))).toBeCloseTo(quiet, 12);
    await database.db.deleteFrom("drills").execute();
    await signal("sig-2", "n2", "withdrawn", 300_000);
    expect(hourOf(await of("node/n1"))).toBeCloseTo(quiet, 12);
  });

  it("counts a node that fell silent without a notice once, and neither one that is heard again, is cordoned or follows its notice", async () => {
    const quiet = hourOf(await of("node/n1"));
    const silent = (set: { lost_at: Date | null; is_cordoned?: boolean }) =>
      database.db.updateTable("nodes").set(set).where("id", "=", "n2").execute();
    await silent({ lost_at: new Date(nowMs - 600_000) });
    await signal("sig-0", "n2", "node_lost", 3_000_000);
    await signal("sig-1", "n2", "node_lost", 600_000);
    const lost = await of("node/n1");
    expect(hourOf(lost)).toBeGreaterThan(quiet);
    expect(lost.inputs.find(({ name }) => name === "losses-last-hour")?.value).toBe("1");
    await silent({ lost_at: null });
    expect(hourOf(await of("node/n1"))).toBeCloseTo(quiet, 12);
    await silent({ lost_at: new Date(nowMs - 600_000), is_cordoned: true });
    expect(hourOf(await of("node/n1"))).toBeCloseTo(quiet, 12);
    await silent({ lost_at: new Date(nowMs - 600_000), is_cordoned: false });
    await signal("sig-2", "n2", "notice", 700_000);
    const noticed = await of("node/n1");
    expect(noticed.inputs.find(({ name }) => name === "losses-last-hour")?.value).toBe("1");
    await database.db
      .insertInto("drills")
      .values({ id: "drl-1", kind: "notice", node_id: "n2", state: "passed", window_seconds: 60, signal_id: "sig-2" })
      .execute();
    expect(hourOf(await of("node/n1"))).toBeCloseTo(quiet, 12);
  });

  it("knows the share of the day with capacity from the pool's own nodes, once six hours of it are known", async () => {
    expect((await of(pool)).missing).toContain("share-last-day");
    await database.db
      .updateTable("nodes")
      .set({ registered_at: new Date(nowMs - 30 * hour) })
      .where("id", "in", ["n1", "n2"])
      .execute();
    const whole = await of(pool);
    expect(whole.missing).not.toContain("share-last-day");
    // Gone for six hours, then another instance came.
    await database.db
      .updateTable("nodes")
      .set({ lost_at: new Date(nowMs - 7 * hour), seen_at: new Date(nowMs - 8 * hour) })
      .where("id", "=", "n2")
      .execute();
    await database.db
      .updateTable("nodes")
      .set({ registered_at: new Date(nowMs - 2 * hour) })
      .where("id", "=", "n1")
      .execute();
    const scarce = await of(pool);
    expect(scarce.inputs.find(({ name }) => name === "share-last-day")?.value).toBe("75.0 % of the day with an instance");
    expect(hourOf(scarce)).toBeGreaterThan(hourOf(whole));
  });

  it("lets each live input change the answer, and says where each came from", async () => {
    const base = await of("node/n1");
    expect(base.missing).toEqual(expect.arrayContaining(["price-level", "price-trend", "advisor-band", "placement-score"]));
    const fetched = { origin: "test", fetched_at: new Date(nowMs - 60_000) };
    const at = (hoursAgo: number, usd: number) => ({
      region: "us-east-1",
      zone: "us-east-1a",
      instance_type: "m5.large",
      at: new Date(nowMs - hoursAgo * hour),
      usd_per_hour: usd,
      ...fetched,
    });
    const steps: [string, () => Promise<unknown>][] = [
      ["rebalance", () => signal("sig-3", "n1", "rebalance", 60_000)],
      [
        "spot-price",
        async () => {
          await database.db
            .insertInto("on_demand_prices")
            .values({ region: "us-east-1", instance_type: "m5.large", usd_per_hour: 0.096, source: "configured", ...fetched })
            .execute();
          await database.db
            .insertInto("spot_prices")
            .values([at(30, 0.03), at(10, 0.05), at(2, 0.09)])
            .execute();
        },
      ],
      [
        "advisor-band",
        () =>
          database.db
            .insertInto("advisor_bands")
            .values({ region: "us-east-1", instance_type: "m5.large", band: 4, savings_percent: 60, ...fetched })
            .execute(),
      ],
      [
        "placement-score",
        () =>
          database.db
            .insertInto("placement_scores")
            .values({ region: "us-east-1", zone: "us-east-1a", instance_type: "m5.large", score: 1, ...fetched })
            .execute(),
      ],
      [
        "incident",
        () =>
          database.db
            .insertInto("incidents")
            .values({
              feed: "f",
              item_id: "1",
              region: "us-east-1",
              title: "Launch errors",
              last_word_at: new Date(nowMs - 60_000),
              is_resolved: false,
            })
            .execute(),
      ],
    ];
    let before = hourOf(base);
    for (const [name, add] of steps) {
      await add();
      const after = await of("node/n1");
      expect(hourOf(after), name).toBeGreaterThan(before);
      expect(after.inputs.find((input) => input.name === name)?.source, name).not.toBe("");
      before = hourOf(after);
    }
    expect((await of("node/n1")).missing).toEqual(["share-last-day"]);
    await database.db
      .updateTable("nodes")
      .set({ registered_at: new Date(nowMs - 7 * hour) })
      .where("id", "=", "n2")
      .execute();
    const whole = await of("node/n1");
    expect(whole.missing).toEqual([]);
    const sum = whole.startingProbability + whole.contributions.reduce((total, { points }) => total + points, 0);
    expect(sum).toBeCloseTo(hourOf(whole), 9);
  });

  it("does not use a price that nobody has confirmed for a day", async () => {
    await database.db
      .insertInto("spot_prices")
      .values({
        region: "us-east-1",
        zone: "us-east-1a",
        instance_type: "m5.large",
        at: new Date(nowMs - 40 * hour),
        usd_per_hour: 0.05,
        origin: "test",
        fetched_at: new Date(nowMs - 40 * hour),
      })
      .execute();
    expect((await of("node/n1")).inputs.some(({ name }) => name === "spot-price")).toBe(false);
    await database.db
      .insertInto("fetches")
      .values({
        kind: "price",
        name: spotPriceFetch("us-east-1"),
        origin: "test",
        last_success_at: new Date(nowMs - 60_000),
        next_try_at: new Date(nowMs),
      })
      .execute();
    expect((await of("node/n1")).inputs.some(({ name }) => name === "spot-price")).toBe(true);
  });

  it("keeps what changed, not every minute, and tells a level once", async () => {
    await assessments.pass("start");
    nowMs += 60_000;
    await assessments.pass("timer");
    expect((await client.listRiskHistory({ subject: "node/n1" })).assessments).toHaveLength(1);
    await signal("sig-4", "n1", "rebalance", 0);
    await assessments.pass("signal");
    nowMs += 1_000;
    await assessments.pass("timer");
    const { assessments: history } = await client.listRiskHistory({ subject: "node/n1" });
    expect(history.map(({ cause }) => cause)).toEqual(["signal", "start"]);
    const told = await database.db
      .selectFrom("events")
      .selectAll()
      .where("type", "like", "risk.%")
      .where("subject", "=", "node/n1")
      .execute();
    expect(told).toHaveLength(1);
    const explained = await client.explainRisk({ subject: "node/n1" });
    expect(explained.lines.join("\n")).toContain("rebalance recommendation (set by policy, not learnt)");
    expect(explained.survival.at(-1)?.afterSeconds).toBe(86_400);
  });

  it("assesses a wave of signals once, a moment after it", async () => {
    let hear: () => void = () => undefined;
    const life = new AbortController();
    const watched = createAssessments({
      ...options(),
      sessions: {
        onSignal: (listener) => {
          hear = listener as () => void;
          return () => undefined;
        },
        onHello: () => () => undefined,
      },
    });
    await watched.start?.(life.signal);
    await until("the first pass", 10, 5_000, async () => ((await client.listAssessments({})).assessments.length > 0 ? true : undefined));
    await signal("sig-w", "n1", "rebalance", 0);
    nowMs += 1_000;
    for (let i = 0; i < 500; i++) hear();
    await until("the pass after the wave", 20, 10_000, async () =>
      (await client.explainRisk({ subject: "node/n1" })).assessment?.cause === "signal" ? true : undefined,
    );
    life.abort();
    await watched.stop();
    const kept = await database.db.selectFrom("assessment_history").select("id").where("subject", "=", "node/n1").execute();
    expect(kept).toHaveLength(2);
  });

  it("forgets a node that is gone, and keeps its history", async () => {
    await assessments.pass("timer");
    await database.db.deleteFrom("nodes").where("id", "=", "n3").execute();
    nowMs += 60_000;
    await assessments.pass("timer");
    await expect(client.explainRisk({ subject: "node/n3" })).rejects.toThrow(/no assessment/);
    expect((await client.listRiskHistory({ subject: "node/n3" })).assessments).toHaveLength(1);
    await expect(client.explainRisk({ subject: "n3" })).rejects.toThrow(/subject is node/);
  });

  it("replays a policy over what was recorded, and names what it could not know", async () => {
    for (let i = 0; i < 6; i++) {
      await assessments.pass("timer");
      nowMs += 900_000;
    }
    await signal("sig-5", "n1", "notice", 0);
    await assessments.pass("signal");
    nowMs += 900_000;
    await assessments.pass("timer");
    const report = await client.replayPolicy({ policy: { moveAboveRatio: 1.2 } });
    expect(report.summary).toMatch(/^this policy would have moved \d+ times, saved -?\d+ of 1 losses, (cost|saved) [\d.]+ USD$/);
    expect(report.sittingStill?.losses).toBe(1);
    expect(report.unknown[0]).toContain("no spot price");
    await expect(client.replayPolicy({ policy: { moveAboveRatio: 0 } })).rejects.toThrow(/policy.move_above_ratio is 1 to 100/);
  });
});

describe("a move that pays", () => {
  const weighing = weighingOf(weighingConfig.parse({}));
  const weigh = createWeigh(weighing, DEFAULT_ASSESS_SETTINGS);
  const target = (id: string, over: object = {}) => ({ id, isConnected: true, isCordoned: false, announced: undefined, ...over });
  const asked = { workloads: new Map([["n1", [{ name: "db", memoryBytes: 1e9 }]]]), nodes: [target("n1"), target("n2"), target("n3")] };

  it("is one away from a rebalance recommendation, not one between equals, and rests after a move", async () => {
    expect((await weigh(database.db, asked, nowMs)).get("db")).toMatchObject({ action: "stay", rule: "does-not-pay" });
    await signal("sig-6", "n1", "rebalance", 60_000);
    const pays = (await weigh(database.db, asked, nowMs)).get("db");
    expect(pays).toMatchObject({ action: "migrate", rule: "pays", threshold: weighing.policy.moveAboveRatio });
    expect(pays?.reason).toContain("no prices are known");
    expect(
      (await weigh(database.db, { ...asked, nodes: [target("n1"), target("n2", { announced: "notice" })] }, nowMs)).get("db"),
    ).toMatchObject({
      action: "stay",
      rule: "no-target",
    });
    await database.db
      .insertInto("migrations")
      .values({
        id: "mig-1",
        workload: "db",
        source_node_id: "n2",
        target_node_id: "n1",
        state: "done",
        requested_mode: "auto",
        epoch_before: 1,
        cause: "test",
        ended_at: new Date(nowMs - 60_000),
      })
      .execute();
    expect((await weigh(database.db, asked, nowMs)).get("db")).toMatchObject({ action: "stay", rule: "resting" });
    await database.db.deleteFrom("migrations").execute();
  });

  it("is said once as a signal of its own, not again while the policy rests", async () => {
    await database.db
      .insertInto("workloads")
      .values({
        name: "db",
        id: "id-db",
        spec: JSON.stringify({ name: "db", memoryLimitBytes: "1000000" }),
        address: "10.0.0.1",
        desired: "running",
        state: "running",
      })
      .execute();
    await database.db.insertInto("placements").values({ workload: "db", epoch: 1, node_id: "n1", cause: "run" }).execute();
    const told: string[] = [];
    const signals = createSignalIntake(database.db, createEvents(database.db, database.notices), () => nowMs);
    const watch = createRiskWatch({
      db: database.db,
      signals,
      tell: ({ kind, node_id }) => told.push(`${kind} ${node_id}`),
      isConnected: () => true,
      weigh,
      weighing,
      nowMs: () => nowMs,
      log: silentLogger,
    });
    expect(await watch()).toEqual([]);
    // The pool of n1 falls apart around it; n3 is in another zone.
    for (let i = 0; i < 12; i++) await signal(`sig-1${i}`, "n2", "notice", 60_000 * (i + 1));
    await database.db
      .updateTable("nodes")
      .set({ registered_at: new Date(nowMs - 60_000) })
      .where("id", "=", "n1")
      .execute();
    await database.db
      .updateTable("nodes")
      .set({ registered_at: new Date(nowMs - 900 * hour) })
      .where("id", "=", "n3")
      .execute();
    await database.db
      .insertInto("placement_scores")
      .values({ region: "us-east-1", zone: "us-east-1a", instance_type: "m5.large", score: 1, origin: "test", fetched_at: new Date(nowMs) })
      .execute();
    expect(await watch()).toEqual(["n1"]);
    expect(await watch()).toEqual([]);
    expect(told).toEqual(["risk n1"]);
    nowMs += weighing.policy.restSeconds * 1000 + 1;
    await database.db
      .updateTable("nodes")
      .set({ registered_at: new Date(nowMs - 60_000) })
      .where("id", "=", "n1")
      .execute();
    expect(await watch()).toEqual(["n1"]);
  });

  it("is said too where the risk has reached a level and a move does not pay, once for each level", async () => {
    const workload = { name: "db", id: "id-db", spec: JSON.stringify({ name: "db" }), address: "10.0.0.1" };
    await database.db
      .insertInto("workloads")
      .values({ ...workload, desired: "running", state: "running" })
      .onConflict((conflict) => conflict.doNothing())
      .execute();
    await database.db
      .insertInto("placements")
      .values({ workload: "db", epoch: 1, node_id: "n1", cause: "run" })
      .onConflict((conflict) => conflict.doNothing())
      .execute();
    const told: string[] = [];
    const stays = { action: "stay", rule: "does-not-pay", stayUsd: 1, moveUsd: 2, threshold: 1.5, reason: "it costs more" } as const;
    const watch = createRiskWatch({
      db: database.db,
      signals: createSignalIntake(database.db, createEvents(database.db, database.notices), () => nowMs),
      tell: ({ node_id, action }) => told.push(`${node_id} ${action}`),
      isConnected: () => true,
      weigh: async () => new Map([["db", stays]]),
      weighing,
      nowMs: () => nowMs,
      log: silentLogger,
    });
    const risen = async (probability: number) => {
      nowMs += weighing.policy.restSeconds * 1000 + 1;
      const row = { subject: "node/n1", at: new Date(nowMs), probability, body: JSON.stringify({}) };
      await database.db
        .insertInto("assessments")
        .values(row)
        .onConflict((conflict) => conflict.column("subject").doUpdateSet(row))
        .execute();
      return watch();
    };
    // One that begins there has not risen.
    expect(await risen(0.3)).toEqual([]);
    await database.db
      .insertInto("assessment_history")
      .values({ id: "asm-low", subject: "node/n1", at: new Date(nowMs), probability: 0.1, body: JSON.stringify({}) })
      .execute();
    expect(await risen(0.3)).toEqual(["n1"]);
    expect(await risen(0.31)).toEqual([]);
    expect(await risen(0.7)).toEqual(["n1"]);
    expect(told).toEqual(["n1 elevated", "n1 critical"]);
  });
});

describe("POST /analyze", () => {
  const ask = (init: { spotPriceHistory?: number[]; rebalanceSignal?: boolean; capacityScore?: number }) =>
    answerAnalyze(create(AnalyzeRequestSchema, init), DEFAULT_RULE_THRESHOLDS);
  const prices = [1, 1, 1, 1, 1, 1, 1, 1, 1, 2];
  it.each([
    [{ spotPriceHistory: prices, rebalanceSignal: true, capacityScore: 1 }, "CRITICAL", "Cloud Provider Signal"],
    [{ spotPriceHistory: prices, rebalanceSignal: false, capacityScore: 1 }, "CRITICAL", "Price Spike Detected"],
    [{ spotPriceHistory: [20, 1, 20, 1, 10], rebalanceSignal: false, capacityScore: 1 }, "CRITICAL", "Market Instability"],
    [{ spotPriceHistory: [1, 1, 1], rebalanceSignal: false, capacityScore: 1 }, "LOW", "Stable"],
  ])("answers by the named rules in their order %#", (request, status, rca) => {
    expect(ask(request)).toMatchObject({ status, rca, prediction: status === "LOW" ? 0 : 100, horizonSeconds: 3600 });
  });
  it("names each field that is wrong", () => {
    expect(() => ask({ spotPriceHistory: [1, Number.NaN] })).toThrow(/spotPriceHistory\[1\].*rebalanceSignal.*capacityScore/);
    try {
      ask({ rebalanceSignal: true, capacityScore: 2 });
    } catch (caught) {
      expect(caught).toMatchObject({ code: "INVALID_ARGUMENT", field: "capacityScore", details: { capacityScore: expect.any(String) } });
    }
  });
});

describe("of one answer", () => {
  const horizons = [
    { horizonSeconds: 120, probability: 0.1, low: 0.05, high: 0.2 },
    { horizonSeconds: 600, probability: 1, low: 1, high: 1 },
  ].map((each) => ({ $typeName: "aether.v2.HorizonRisk" as const, ...each }));
  it("survival falls, its range holds it, and a certain loss ends it", () => {
    const curve = survivalCurve({ horizons });
    for (const [i, point] of curve.entries()) {
      expect(point.low).toBeLessThanOrEqual(point.probability);
      expect(point.high).toBeGreaterThanOrEqual(point.probability);
      expect(point.probability).toBeLessThanOrEqual(curve[i - 1]?.probability ?? 1);
    }
    expect(curve.at(-1)?.probability).toBe(0);
  });
  it("is read between horizons by a constant hazard", () => {
    expect(probabilityWithin({ horizons }, 60)).toBeCloseTo(1 - Math.sqrt(0.9), 12);
    expect(probabilityWithin({ horizons }, 599)).toBe(0.1);
    expect(probabilityWithin({ horizons }, 600)).toBe(1);
  });
  it("has a level that does not flutter at its border", () => {
    expect([
      levelOf(0.21, "low"),
      levelOf(0.17, "elevated"),
      levelOf(0.15, "elevated"),
      levelOf(0.5, "critical"),
      levelOf(0.47, "critical"),
    ]).toEqual(["elevated", "elevated", "low", "critical", "elevated"]);
  });
});
