// The same tables feed assessment, savings and backtest: prices come through the SDK into core's tables, the command runs over them through core's
// API, and the same series as files gives the same rows.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLogger } from "@aether/kit";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { runCommandLine } from "../../packages/cli/src/command-line.ts";
import { openScratchDatabase, type ScratchDatabase } from "../../packages/core/src/db/scratch-database.ts";
import { pricesConfig } from "../../packages/core/src/prices/config.ts";
import { type Ec2OnTheWire, startEc2OnTheWire, type WirePrice } from "../../packages/core/src/prices/ec2-on-the-wire.ts";
import { createPrices } from "../../packages/core/src/prices/prices.ts";
import { startMoto } from "../../packages/core/src/testing/moto-server.ts";
import { type ServedRoutes, serveRoutes } from "../../packages/core/src/testing/serve-routes.ts";

const hour = 3_600_000;
const tick = 600_000;
const job = ["--job-hours", "6", "--deadline-hours", "8,10", "--windows", "5", "--threads", "1"];
let database: ScratchDatabase;
let dir: string;
let server: ServedRoutes | undefined;
const kept = { ...process.env };

beforeAll(async () => {
  Object.assign(process.env, { AWS_ACCESS_KEY_ID: "test", AWS_SECRET_ACCESS_KEY: "test" });
  database = await openScratchDatabase();
});
afterAll(async () => {
  for (const name of ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]) {
    if (kept[name] === undefined) delete process.env[name];
    else process.env[name] = kept[name];
  }
  await database.close();
});
beforeEach(async () => {
  for (const table of ["fetches", "spot_prices", "on_demand_prices", "signals", "nodes"] as const)
    await database.db.deleteFrom(table).execute();
  dir = mkdtempSync(join(tmpdir(), "aether-price-tables-"));
  return async () => {
    rmSync(dir, { recursive: true });
    server?.close();
    server = undefined;
  };
});

/** Fetches once from an endpoint into the tables, and serves them. */
async function serve(endpoint: string): Promise<void> {
  const prices = createPrices({
    db: database.db,
    config: pricesConfig.parse({
      ec2: { regions: ["us-east-1"], endpoint, instanceTypes: ["m5.large"], placementScores: false, historyDays: 60 },
      onDemandUsdPerHour: { "us-east-1": { "m5.large": 0.096 } },
    }),
    nowMs: Date.now,
    log: silentLogger,
  });
  await prices.start?.(AbortSignal.abort());
  await prices.runDue(new AbortController().signal);
  server = await serveRoutes((router) => void prices.routes?.(router));
}

async function aether(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  let out = "";
  let err = "";
  const decode = (chunk: string | Uint8Array) => (typeof chunk === "string" ? chunk : Buffer.from(chunk).toString());
  const streams = {
    stdout: { write: (chunk: string | Uint8Array) => (out += decode(chunk)) },
    stderr: { write: (chunk: string | Uint8Array) => (err += decode(chunk)) },
  };
  const at = server === undefined ? [] : ["--url", server.url, "--token", "t"];
  const code = await runCommandLine([...args, ...at, "--dir", dir], streams);
  return { code, out, err };
}

interface Report {
  readonly runs: number;
  readonly source: {
    readonly kind: string;
    readonly from: string;
    readonly to: string;
    readonly losses: number;
    readonly prices: { origin: string }[];
  };
  readonly summaries: { policy: string; meanCostUsd: number; deadlineMisses: number }[];
}

describe("a backtest over the control plane's price tables", () => {
  it("equals one over the same series as files, with prices from an emulated EC2", { timeout: 180_000 }, async (context) => {
    const moto = await startMoto();
    if (typeof moto === "string") return context.skip(moto);
    try {
      await serve(moto.endpoint);
      const saved = join(dir, "saved");
      const tables = await aether("backtest", "--hours", "30", ...job, "--csv", join(dir, "a.csv"), "--save-traces", saved, "--json");
      expect(tables.err).toBe("");
      const report = JSON.parse(tables.out) as Report;
      expect(report.source).toMatchObject({ kind: "price tables", losses: 0 });
      expect(report.source.prices.map(({ origin }) => origin)).toContain(moto.endpoint);
      expect(report.runs).toBeGreaterThan(100);
      expect(report.summaries.every(({ deadlineMisses }) => deadlineMisses === 0)).toBe(true);
      const files = ["--traces", saved, "--prices", "--on-demand-price", "0.096"];
      expect(await aether("backtest", ...files, ...job, "--csv", join(dir, "b.csv"), "--json")).toMatchObject({ code: 0 });
      expect(readFileSync(join(dir, "b.csv"), "utf8")).toBe(readFileSync(join(dir, "a.csv"), "utf8"));
    } finally {
      await moto.stop();
    }
  });

  it("equals one over files written by hand, where the price passes on-demand and an instance is lost", async () => {
    const ec2: Ec2OnTheWire = await startEc2OnTheWire();
    try {
      const now = Date.now();
      const price = (zone: string, hoursAgo: number, usd: string): WirePrice => ({
        zone,
        type: "m5.large",
        at: new Date(now - hoursAgo * hour),
        usd,
      });
      ec2.prices = [
        price("us-east-1a", 200, "0.03"),
        price("us-east-1a", 30, "0.12"),
        price("us-east-1a", 20, "0.04"),
        price("us-east-1b", 40, "0.035"),
      ];
      const lostAt = now - 10 * hour;
      const facts = { hostname: "n1", cloud: { region: "us-east-1", zone: "us-east-1a", instanceType: "m5.large", lifecycle: "spot" } };
      await database.db
        .insertInto("nodes")
        .values({ id: "n1", facts: JSON.stringify(facts), registered_at: new Date(now - 60 * hour) })
        .execute();
      await database.db
        .insertInto("signals")
        .values({
          id: "sig-1",
          node_id: "n1",
          kind: "notice",
          observed_at: new Date(lostAt),
          received_at: new Date(lostAt),
          source: "imds",
        })
        .execute();
      await serve(ec2.endpoint);
      const tables = await aether("backtest", "--hours", "48", ...job, "--csv", join(dir, "a.csv"), "--json");
      expect(tables.err).toBe("");
      const report = JSON.parse(tables.out) as Report;
      expect(report.source.losses).toBe(1);

      const bundle = join(dir, "bundle");
      mkdirSync(join(bundle, "availability"), { recursive: true });
      const manifest = ["kind,file,price_file,group,zone,requested_capacity,gap_seconds,ticks"];
      const [from, to] = [Date.parse(report.source.from), Date.parse(report.source.to)];
      for (const zone of ["us-east-1a", "us-east-1b"]) {
        const capacity = ["tick,ticks,utc,capacity"];
        const prices = ["tick,ticks,utc,spot_usd_per_hour"];
        const known = ec2.prices.filter((each) => each.zone === zone);
        for (let t = 0; from + t * tick < to; t++) {
          const at = from + t * tick;
          const usd = known.filter((each) => each.at.getTime() <= at).at(-1)?.usd;
          const isLost = zone === "us-east-1a" && lostAt >= at && lostAt < at + tick;
          capacity.push(`${t},1,,${usd === undefined ? -1 : Number(usd) <= 0.096 && !isLost ? 1 : 0}`);
          if (usd !== undefined) prices.push(`${t},1,,${usd}`);
        }
        const name = `availability/m5.large__${zone}__m5.large`;
        writeFileSync(join(bundle, `${name}.csv`), `${capacity.join("\n")}\n`);
        writeFileSync(join(bundle, `${name}.price.csv`), `${prices.join("\n")}\n`);
        manifest.push(`availability,${name}.csv,${name}.price.csv,m5.large,${zone},1,600,${(to - from) / tick}`);
      }
      writeFileSync(join(bundle, "manifest.csv"), `${manifest.join("\n")}\n`);
      const files = await aether(
        "backtest",
        "--traces",
        bundle,
        "--prices",
        "--on-demand-price",
        "0.096",
        ...job,
        "--csv",
        join(dir, "b.csv"),
        "--json",
      );
      expect(files.err).toBe("");
      expect(readFileSync(join(dir, "b.csv"), "utf8")).toBe(readFileSync(join(dir, "a.csv"), "utf8"));
      // It says something: prices moved, and one instance was lost in both.
      expect(
        new Set(
          readFileSync(join(dir, "a.csv"), "utf8")
            .split("\n")
            .slice(1)
            .map((line) => line.split(",")[12]),
        ).size,
      ).toBeGreaterThan(1);

      const over = ["--zones", "all", "--deadline-hours", "8", "--job-hours", "6", "--windows", "4", "--threads", "1"];
      const zones = JSON.parse((await aether("backtest", "--hours", "48", ...over, "--json")).out) as Report;
      const same = JSON.parse(
        (await aether("backtest", "--traces", bundle, "--prices", "--on-demand-price", "0.096", ...over, "--json")).out,
      ) as Report;
      expect(zones.summaries).toEqual(same.summaries);
      const table = await aether("backtest", "--hours", "48", ...job);
      expect(table.out).toContain("a tick counts as there while spot is at or below on-demand");
      expect(table.out).toContain(`from DescribeSpotPriceHistory, ${ec2.endpoint}`);

      const months = await aether("savings", "--months", "--json");
      expect([months.code, months.err]).toEqual([2, expect.stringContaining("covers a whole month")]);
      ec2.prices = [price("us-east-1a", 24 * 50, "0.03"), ...ec2.prices];
      await database.db.deleteFrom("fetches").execute();
      await database.db.deleteFrom("spot_prices").execute();
      server?.close();
      await serve(ec2.endpoint);
      const { rows, sources } = JSON.parse((await aether("savings", "--months", "--json")).out) as {
        rows: { median: number; months: number }[];
        sources: object[];
      };
      // 0.03 against 0.096 for most of the month, and moves to the other zone.
      expect(rows).toHaveLength(1);
      expect(rows[0]?.median).toBeGreaterThan(0.6);
      expect(rows[0]?.median).toBeLessThan(0.69);
      expect(sources).toMatchObject([{ source: "DescribeSpotPriceHistory" }, { source: "configured" }]);
    } finally {
      await ec2.stop();
    }
  });

  it("says what to do where there is no price, no control plane, or options that do not go together", async () => {
    const alone = await aether("backtest");
    expect([alone.code, alone.err]).toEqual([1, expect.stringContaining("no core is known")]);
    const mixed = await aether("backtest", "--traces", dir, "--hours", "5");
    expect([mixed.code, mixed.err]).toEqual([2, expect.stringContaining("--hours is for the price tables")]);
    await serve("http://127.0.0.1:9");
    const empty = await aether("backtest");
    expect([empty.code, empty.err]).toEqual([2, expect.stringContaining("has no spot price")]);
    expect((await aether("backtest", "--group", "g")).err).toContain("--group is for --traces");
  });
});
