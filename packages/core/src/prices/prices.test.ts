// Prices, scores and bands from the wire to the answers: the real SDK, the real database, a server that speaks EC2's query API.
import http from "node:http";
import type { AddressInfo } from "node:net";
import { PriceService } from "@aether/contract/gen/aether/v2/price_pb";
import { silentLogger, until } from "@aether/kit";
import { createClient, createRouterTransport } from "@connectrpc/connect";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { openScratchDatabase, type ScratchDatabase } from "../db/scratch-database.ts";
import { createFetches } from "../fetch/fetches.ts";
import { pricesConfig } from "./config.ts";
import { type Ec2OnTheWire, startEc2OnTheWire } from "./ec2-on-the-wire.ts";
import { createPrices } from "./prices.ts";

const hour = 3_600_000;
const poolA = "pool/us-east-1/us-east-1a/m5.large";
const never = new AbortController().signal;
let database: ScratchDatabase;
let ec2: Ec2OnTheWire;
let advisor: http.Server;
let advisorText = "";
let nowMs = 0;
const kept = { id: process.env.AWS_ACCESS_KEY_ID, secret: process.env.AWS_SECRET_ACCESS_KEY };

beforeAll(async () => {
  process.env.AWS_ACCESS_KEY_ID = "test";
  process.env.AWS_SECRET_ACCESS_KEY = "secret-that-must-not-show";
  [database, ec2] = await Promise.all([openScratchDatabase(), startEc2OnTheWire()]);
  advisor = http.createServer((_, response) => void response.end(advisorText));
  await new Promise<void>((resolve) => advisor.listen(0, "127.0.0.1", resolve));
}, 60_000);
afterAll(async () => {
  for (const [name, value] of [
    ["AWS_ACCESS_KEY_ID", kept.id],
    ["AWS_SECRET_ACCESS_KEY", kept.secret],
  ] as const) {
    if (value === undefined) delete process.env[name];
    else process.env[name] = value;
  }
  advisor.close();
  await ec2.stop();
  await database.close();
});

beforeEach(async () => {
  nowMs = Date.parse("2026-05-04T12:00:00Z");
  Object.assign(ec2, { prices: [], scores: {}, failure: undefined });
  ec2.calls.length = 0;
  advisorText = JSON.stringify({
    spot_advisor: { "us-east-1": { Linux: { "m5.large": { r: 3, s: 60 } }, Windows: { "m5.large": { r: 0, s: 1 } } } },
  });
  for (const table of [
    "fetches",
    "spot_prices",
    "on_demand_prices",
    "placement_scores",
    "advisor_bands",
    "placements",
    "workloads",
    "signals",
    "nodes",
  ] as const)
    await database.db.deleteFrom(table).execute();
});

const price = (zone: string, hoursAgo: number, usd: string, product?: string) => ({
  zone,
  type: "m5.large",
  at: new Date(nowMs - hoursAgo * hour),
  usd,
  ...(product ? { product } : {}),
});

async function open(config: object = {}) {
  const prices = createPrices({
    db: database.db,
    config: pricesConfig.parse({
      ec2: { regions: ["us-east-1"], endpoint: ec2.endpoint },
      advisor: { url: `http://127.0.0.1:${(advisor.address() as AddressInfo).port}/`, allowPrivateAddresses: true },
      ...config,
    }),
    nowMs: () => nowMs,
    log: silentLogger,
  });
  await prices.start?.(AbortSignal.abort());
  const client = createClient(
    PriceService,
    createRouterTransport((router) => prices.routes?.(router)),
  );
  return { prices, client };
}
const node = (
  id: string,
  hoursAgo: number,
  cloud: object = { region: "us-east-1", zone: "us-east-1a", instanceType: "m5.large", lifecycle: "spot" },
) =>
  database.db
    .insertInto("nodes")
    .values({ id, facts: JSON.stringify({ hostname: id, cloud }), registered_at: new Date(nowMs - hoursAgo * hour) })
    .execute();

describe("prices", () => {
  it("are off unless configured", async () => {
    await node("n1", 1);
    const { prices, client } = await open({ ec2: undefined, advisor: undefined });
    await prices.runDue(never);
    expect(ec2.calls).toEqual([]);
    const { pools, fetches } = await client.listPools({});
    expect(fetches).toEqual([]);
    expect(pools).toMatchObject([{ name: poolA, nodes: ["n1"] }]);
    expect(pools[0]?.spotUsdPerHour).toBeUndefined();
  });

  it("come from all pages for what the fleet runs on, with their source", async () => {
    await node("n1", 1);
    ec2.prices = [
      price("us-east-1a", 400, "0.030"),
      price("us-east-1a", 50, "0.040"),
      price("us-east-1b", 40, "0.045"),
      price("us-east-1a", 5, "0.050"),
      price("us-east-1a", 4, "9.0", "Windows"),
    ];
    ec2.scores = { "use1-az4": 7, "use1-az6": 2, "use1-unknown": 9 };
    const { prices, client } = await open();
    await prices.runDue(never);
    expect(ec2.calls[0]).toMatchObject({
      Action: "DescribeSpotPriceHistory",
      "InstanceType.1": "m5.large",
      "ProductDescription.1": "Linux/UNIX",
    });
    expect(ec2.calls[0]?.authorization).toContain("AWS4-HMAC-SHA256");
    const { pools, fetches } = await client.listPools({});
    expect(pools.map((pool) => [pool.name, pool.spotUsdPerHour, pool.placementScore, pool.advisorBand])).toEqual([
      [poolA, 0.05, 7, 3],
      ["pool/us-east-1/us-east-1b/m5.large", 0.045, 2, 3],
    ]);
    // The mean of the two zones' prices less a saving of 60 %: an estimate, and called so.
    expect(pools[0]?.onDemandUsdPerHour).toBeCloseTo(0.0475 / 0.4, 3);
    expect(pools[0]?.sources.map((source) => source.name).sort()).toEqual([
      "DescribeSpotPriceHistory",
      "GetSpotPlacementScores",
      "spot-advisor",
    ]);
    expect(fetches.map(({ name, state, rows }) => [name, state, rows])).toEqual([
      ["DescribeSpotPriceHistory us-east-1", "ok", 4],
      ["GetSpotPlacementScores us-east-1", "ok", 2],
      ["spot-advisor", "ok", 1],
    ]);
    const history = await client.getPriceHistory({ pool: poolA, hours: 24 });
    expect(history.points.map(({ spotUsdPerHour }) => spotUsdPerHour)).toEqual([0.04, 0.05]);
    expect(Number(history.points[0]?.at?.seconds) * 1000).toBe(nowMs - 24 * hour);
  });

  it("are asked for from the last success on, and a repeat changes nothing", async () => {
    await node("n1", 1);
    ec2.prices = [price("us-east-1a", 50, "0.040")];
    const { prices, client } = await open({ advisor: undefined });
    await prices.runDue(never);
    const first = Date.parse(ec2.calls[0]?.StartTime ?? "");
    expect(nowMs - first).toBe(14 * 24 * hour);
    nowMs += hour;
    await prices.runDue(never);
    const second = ec2.calls.filter((call) => call.Action === "DescribeSpotPriceHistory").at(-1);
    expect(nowMs - Date.parse(second?.StartTime ?? "")).toBe(3 * hour);
    expect((await client.getPriceHistory({ pool: poolA, hours: 100 })).points).toHaveLength(1);
  });

  it("are asked for again half a minute after the process that was asking was killed, and not while it lives", async () => {
    let begun = 0;
    const source = {
      name: "slow",
      origin: "test",
      everyMs: hour,
      fetch: () => {
        begun++;
        return new Promise<never>(() => undefined);
      },
    };
    const options = { db: database.db, kind: "price" as const, sources: [source], log: silentLogger };
    const killed = createFetches({ ...options, nowMs: () => nowMs });
    await killed.start(never);
    await until("the fetch", 10, 5_000, async () => (begun === 1 ? true : undefined));
    const next = createFetches({ ...options, sources: [{ ...source, fetch: async () => ({ rowCount: 7 }) }], nowMs: () => nowMs });
    expect(await next.runDue(never)).toBeLessThanOrEqual(30_000);
    const read = () => database.db.selectFrom("fetches").select("row_count").where("name", "=", "slow").executeTakeFirstOrThrow();
    expect((await read()).row_count).toBe(0);
    nowMs += 31_000;
    await next.runDue(never);
    expect((await read()).row_count).toBe(7);
  });

  it("tell when an instance of the pool was lost", async () => {
    await node("n1", 30);
    await node("n2", 30, { region: "us-east-1", zone: "us-east-1b", instanceType: "m5.large", lifecycle: "spot" });
    const notice = (id: string, nodeId: string, hoursAgo: number) => {
      const at = new Date(nowMs - hoursAgo * hour);
      return { id, node_id: nodeId, kind: "notice" as const, observed_at: at, received_at: at, source: "imds" };
    };
    await database.db
      .insertInto("signals")
      .values([notice("sig-1", "n1", 3), notice("sig-2", "n2", 2), notice("sig-3", "n1", 50)])
      .execute();
    const { client } = await open({ ec2: undefined, advisor: undefined });
    const { losses } = await client.getPriceHistory({ pool: poolA, hours: 24 });
    expect(losses.map(({ seconds }) => Number(seconds) * 1000)).toEqual([nowMs - 3 * hour]);
  });

  it("say what went wrong and what to do, without a secret", async () => {
    await node("n1", 1);
    ec2.failure = { status: 403, code: "UnauthorizedOperation" };
    advisorText = "<html>";
    const { prices, client } = await open();
    await prices.runDue(never);
    const { fetches } = await client.listPools({});
    expect(fetches.map(({ state }) => state)).toEqual(["failing", "failing", "failing"]);
    expect(fetches[0]?.error).toContain("Allow ec2:DescribeSpotPriceHistory");
    expect(fetches[2]?.error).toContain("not JSON");
    expect(JSON.stringify(fetches, (_, value) => (typeof value === "bigint" ? String(value) : value))).not.toContain(
      "secret-that-must-not-show",
    );
  });

  it("let an operator's on-demand price win over the estimate", async () => {
    await node("n1", 1);
    ec2.prices = [price("us-east-1a", 50, "0.040")];
    const { prices, client } = await open({ onDemandUsdPerHour: { "us-east-1": { "m5.large": 0.096 } } });
    await prices.runDue(never);
    expect((await client.listPools({})).pools[0]).toMatchObject({ onDemandUsdPerHour: 0.096 });
  });
});

describe("savings", () => {
  const place = async (workload: string, nodeId: string, epoch: number, fromHoursAgo: number, toHoursAgo?: number) => {
    if (epoch === 1)
      await database.db
        .insertInto("workloads")
        .values({
          name: workload,
          id: `id-${workload}`,
          spec: "{}",
          address: `10.0.0.${workload.length}`,
          desired: "running",
          state: "running",
        })
        .execute();
    await database.db
      .insertInto("placements")
      .values({
        workload,
        epoch,
        node_id: nodeId,
        cause: "run",
        is_active: toHoursAgo === undefined,
        created_at: new Date(nowMs - fromHoursAgo * hour),
        ended_at: toHoursAgo === undefined ? null : new Date(nowMs - toHoursAgo * hour),
      })
      .execute();
  };

  it("add up hours at the price in force, share a node among its workloads, and say what is unknown", async () => {
    await node("n1", 10);
    await node("n2", 4);
    await node("n3", 2, {});
    ec2.prices = [price("us-east-1a", 20, "0.04"), price("us-east-1a", 4, "0.06")];
    const { prices, client } = await open({ advisor: undefined, onDemandUsdPerHour: { "us-east-1": { "m5.large": 0.1 } } });
    await prices.runDue(never);
    await place("a", "n1", 1, 10, 4);
    await place("a", "n2", 2, 4);
    await place("bb", "n1", 1, 2);
    await place("ccc", "n3", 1, 2);
    const savings = await client.getSavings({ hours: 24 });
    // n1: 6 h at 0.04 and 4 h at 0.06; n2: 4 h at 0.06; n3 did not say what it is.
    expect(savings.fleet).toMatchObject({ runningHours: 16, pricedHours: 14, spentUsd: 0.72, onDemandUsd: 1.4, savedUsd: 0.68 });
    expect(savings.fleet?.unknown).toEqual(["the node did not say its region, zone and type for 2.0 h"]);
    const of = (subject: string) => savings.workloads.find((each) => each.subject === subject);
    expect(of("workload/a")).toMatchObject({ runningHours: 10, spentUsd: 0.48, onDemandUsd: 1, savedUsd: 0.52, unknown: [] });
    expect(of("workload/bb")).toMatchObject({ runningHours: 2, spentUsd: 0.12, savedUsd: 0.08 });
    expect(of("workload/ccc")).toMatchObject({ runningHours: 2, pricedHours: 0 });
    expect(of("workload/ccc")?.spentUsd).toBeUndefined();
    expect(savings.pools).toMatchObject([{ subject: poolA, pricedHours: 14 }]);
    expect(savings.sources.map(({ name }) => name).sort()).toEqual(["DescribeSpotPriceHistory", "configured"]);
  });

  it("share an hour of a node between the two workloads on it", async () => {
    await node("n1", 2);
    ec2.prices = [price("us-east-1a", 20, "0.04")];
    const { prices, client } = await open({ advisor: undefined, onDemandUsdPerHour: { "us-east-1": { "m5.large": 0.1 } } });
    await prices.runDue(never);
    await place("a", "n1", 1, 2);
    await place("bb", "n1", 1, 1);
    const savings = await client.getSavings({});
    expect(savings.fleet?.spentUsd).toBeCloseTo(0.08, 9);
    expect(savings.workloads.map(({ spentUsd }) => spentUsd)).toEqual([0.06, 0.02]);
  });

  it("are unknown, not zero, where no price is", async () => {
    await node("n1", 2);
    const { client } = await open({ ec2: undefined, advisor: undefined });
    const { fleet, sources } = await client.getSavings({});
    expect(fleet?.spentUsd).toBeUndefined();
    expect(fleet?.unknown).toEqual([`no spot price of ${poolA} for 2.0 h`]);
    expect(sources).toEqual([]);
  });

  it("count the freezes of every move, by the database, and what notices were outlived", async () => {
    const { client } = await open({ ec2: undefined, advisor: undefined });
    await place("a", "n1", 1, 3);
    const move = (id: string, state: "done" | "rolled_back", freezeMs: number | undefined, minutesAgo: number) =>
      database.db
        .insertInto("migrations")
        .values({
          id,
          workload: "a",
          source_node_id: "n1",
          target_node_id: "n2",
          state,
          requested_mode: "auto",
          epoch_before: 1,
          cause: "operator",
          ended_at: new Date(nowMs - minutesAgo * 60_000),
          ...(freezeMs === undefined ? {} : { receipt: JSON.stringify({ freezeMs }) }),
        })
        .execute();
    for (let i = 0; i < 120; i++) await move(`mig-${i}`, "done", 100 + i, 60);
    await move("mig-unmeasured", "done", undefined, 60);
    await move("mig-back", "rolled_back", undefined, 60);
    await move("mig-old", "done", 9_999, 60 * 48);
    for (const [id, node_id] of [
      ["sig-a", "n1"],
      ["sig-b", "n7"],
      ["sig-drill", "n1"],
    ] as const) {
      const at = new Date(nowMs - 2 * 3_600_000);
      await database.db
        .insertInto("signals")
        .values({ id, node_id, kind: "notice", observed_at: at, received_at: at, source: "imds" })
        .execute();
      await database.db
        .insertInto("decisions")
        .values({
          id: `dec-${id}`,
          node_id,
          signal_id: id,
          action: "migrate",
          rule: "r",
          reason: "",
          moves: JSON.stringify([{ workload: "a" }]),
        })
        .execute();
    }
    await database.db
      .insertInto("drills")
      .values({ id: "drl-a", kind: "notice", node_id: "n1", state: "passed", window_seconds: 120, signal_id: "sig-drill" })
      .execute();
    const { blackout, fleet } = await client.getSavings({ hours: 24 });
    const frozenMs = 120 * 100 + (119 * 120) / 2;
    expect(blackout).toMatchObject({ moves: 121n, frozenMs, longestFreezeMs: 219, unmeasured: 1n, rolledBack: 1n });
    // a left n1, and it never left n7.
    expect(blackout).toMatchObject({ interruptions: 2n, survived: 1n, rehearsed: 1n, rehearsalsSurvived: 1n });
    expect(fleet).toMatchObject({ migrations: 121, frozenMs });
  });
});
