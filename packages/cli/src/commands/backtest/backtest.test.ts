import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Command } from "commander";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { registerBacktest } from "./index.ts";
import { parseStarts, windowsOf } from "./starts.ts";
import { listTraces, pairOf, splitCsvLine } from "./traces.ts";

let dir = "";
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "aether-backtest-"));
  mkdirSync(join(dir, "availability"));
  writeFileSync(
    join(dir, "manifest.csv"),
    [
      "split,kind,file,price_file,group,zone,requested_capacity,gap_seconds,ticks,method",
      'dev,availability,availability/g__zone-a__v100_1.csv,,g,zone-a,1,600,100,"a, probe"',
      "dev,price,prices/x.csv,,g,zone-a,,event,3,x",
    ].join("\n"),
  );
  writeFileSync(join(dir, "availability/g__zone-a__v100_1.csv"), "tick,ticks,utc,capacity\n0,50,,1\n50,50,,0\n");
});
afterEach(() => {
  rmSync(dir, { recursive: true });
  vi.restoreAllMocks();
});

async function run(...args: string[]): Promise<{ out: string; err: string }> {
  let out = "";
  let err = "";
  vi.spyOn(process.stdout, "write").mockImplementation((text) => {
    out += String(text);
    return true;
  });
  vi.spyOn(process.stderr, "write").mockImplementation((text) => {
    err += String(text);
    return true;
  });
  const program = new Command("aether").exitOverride();
  registerBacktest(program);
  await program.parseAsync(["backtest", "--traces", dir, "--threads", "1", ...args], { from: "user" });
  return { out, err };
}

describe("aether backtest", () => {
  it("writes the reference's columns and one JSON document", async () => {
    const csv = join(dir, "out.csv");
    const { out } = await run("--job-hours", "2", "--deadline-hours", "4", "--windows", "3", "--csv", csv, "--json");
    const summary = JSON.parse(out) as { runs: number; summaries: { policy: string; deadlineMisses: number; meanCostUsd: number }[] };
    expect(summary.runs).toBe(18);
    expect(summary.summaries.every((s) => s.deadlineMisses === 0)).toBe(true);
    const lines = readFileSync(csv, "utf8").trimEnd().split("\n");
    expect(lines[0]).toBe(
      "pair,window,deadline_h,d_h,policy,cost_usd,spot_h,od_h,spot_progress_h,od_progress_h,spot_starts,od_starts,preemptions,finish_h",
    );
    expect(lines[1]).toMatch(/^zone-a_v100_1,0,4,0\.2,aether,2\.27/);
    expect(lines).toHaveLength(19);
  });

  it("fails with the reason when the group is unknown or nothing fits", async () => {
    await expect(run("--group", "nope")).rejects.toThrow('no group "nope"');
    await expect(run("--deadline-hours", "500")).rejects.toThrow("no trace is long enough");
  });

  it("runs one job over several zones with prices of their own, never below perfect foresight", async () => {
    const rows = ["zone-a", "zone-b"].map((zone) => `dev,availability,availability/h__${zone}__v100_1.csv,,h,${zone},1,600,100,x`);
    writeFileSync(
      join(dir, "manifest.csv"),
      ["split,kind,file,price_file,group,zone,requested_capacity,gap_seconds,ticks,method", ...rows].join("\n"),
    );
    writeFileSync(join(dir, "availability/h__zone-a__v100_1.csv"), "tick,ticks,utc,capacity\n0,6,,1\n6,94,,0\n");
    writeFileSync(join(dir, "availability/h__zone-b__v100_1.csv"), "tick,ticks,utc,capacity\n0,100,,1\n");
    writeFileSync(join(dir, "zones.csv"), "zone,spot_usd_per_hour_x,on_demand_usd_per_hour_x\nzone-a,1,10\nzone-b,2,10\n");
    const csv = join(dir, "zones-out.csv");
    const args = [
      "--group",
      "h",
      "--zones",
      "all",
      "--zone-prices",
      "zones.csv",
      "--job-hours",
      "2",
      "--deadline-hours",
      "4",
      "--start-hours",
      "0",
    ];
    const { out } = await run(...args, "--csv", csv, "--json");
    const { zones, summaries } = JSON.parse(out) as {
      zones: string[];
      summaries: { policy: string; meanCostUsd: number; deadlineMisses: number }[];
    };
    expect(zones).toEqual(["zone-a", "zone-b"]);
    const [ours, optimum] = summaries;
    expect(ours).toMatchObject({ policy: "aether", deadlineMisses: 0 });
    expect(ours?.meanCostUsd).toBeGreaterThanOrEqual(optimum?.meanCostUsd ?? Number.NaN);
    // An hour in the cheap zone, then the other: far from on-demand.
    expect(ours?.meanCostUsd).toBeLessThan(6);
    expect(readFileSync(csv, "utf8").split("\n")[1]).toMatch(/^zone-a\+zone-b,0,0,4,0\.2,aether,/);
    await expect(run("--group", "h", "--zones", "zone-z")).rejects.toThrow("there is no zone zone-z");
  });

  it("refuses a policy that it does not know", async () => {
    await expect(run("--policies", "magic")).rejects.toThrow(/none of/);
  });
});

describe("reading the bundle", () => {
  it("splits quoted cells and names pairs as the reference does", () => {
    expect(splitCsvLine('a,"b, ""c""",')).toEqual(["a", 'b, "c"', ""]);
    expect(pairOf("availability/permissive/aws-2022__us-west-2a__k80_8.csv")).toBe("us-west-2a_k80_8");
    expect(listTraces(dir, "g").map((file) => file.pair)).toEqual(["zone-a_v100_1"]);
  });

  it("refuses a manifest that points outside its folder", async () => {
    writeFileSync(
      join(dir, "manifest.csv"),
      "kind,file,price_file,group,zone,requested_capacity,gap_seconds,ticks\navailability,../x__y__z.csv,,g,z,1,600,100\n",
    );
    await expect(run("--job-hours", "2", "--deadline-hours", "4")).rejects.toThrow("leaves the trace folder");
  });

  it("shifts start ticks for the -mit files and leaves out windows that do not fit", () => {
    const starts = parseStarts('{"length_ticks":10,"gap_seconds":600,"starts":[1,5,95]}');
    const source = { dir: "d", file: "f", instances: 1 };
    const file = { pair: "p", group: "g-mit", zone: "z", gapSeconds: 600, ticks: 100, source };
    expect(windowsOf(file, starts, 10, 0)).toEqual([{ window: 1, startTick: 2 }]);
    expect(() => windowsOf({ ...file, gapSeconds: 195 }, starts, 10, 0)).toThrow(/ticks of 600 s/);
    expect(() => parseStarts('{"length_ticks":10,"gap_seconds":600,"starts":[1.5]}')).toThrow(/whole numbers/);
  });
});
