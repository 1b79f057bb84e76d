/**
 * Compares our simulator with every reference row of the trace bundle, to 1e-5 USD, and prints one line a table.
 * Run: node --conditions=@source bench/risk/oracle.ts [--every N]      (N = 1 compares all rows; about three minutes on one core)
 */
import {
  greedyPolicy,
  type Job,
  omniscient,
  onDemandPolicy,
  type RunResult,
  simulate,
  type Trace,
  uniformProgressPlainPolicy,
  uniformProgressPolicy,
} from "@aether/risk";
import { findTraces, readGroup, readTable, readText } from "./traces.ts";

const POLICIES = { greedy: greedyPolicy, up: uniformProgressPolicy, up_plain: uniformProgressPlainPolicy, on_demand: onDemandPolicy };

export interface Mismatch {
  readonly where: string;
  readonly expected: number;
  readonly got: number;
}

export interface Comparison {
  readonly table: string;
  rows: number;
  worstUsd: number;
  readonly mismatches: Mismatch[];
}

function run(name: string, trace: Trace, start: number, job: Job): RunResult {
  if (name === "omniscient") return omniscient(trace, start, job);
  const policy = POLICIES[name as keyof typeof POLICIES];
  if (policy === undefined) throw new Error(`the reference names a policy that we do not have: ${name}`);
  return simulate(trace, start, job, policy);
}

function note(to: Comparison, where: string, expected: number, got: number, tolerance: number): void {
  to.rows++;
  const off = Math.abs(expected - got);
  to.worstUsd = Math.max(to.worstUsd, off);
  if (!(off <= tolerance)) to.mismatches.push({ where, expected, got });
}

function compareWindows(
  dir: string,
  table: string,
  file: string,
  traces: Trace[],
  startOf: (row: Record<string, string>) => number,
  every: number,
): Comparison {
  const comparison: Comparison = { table, rows: 0, worstUsd: 0, mismatches: [] };
  const byPair = new Map(traces.map((trace) => [trace.pair, trace]));
  const rows = readTable(dir, file);
  for (let i = 0; i < rows.length; i += every) {
    const row = rows[i];
    if (row === undefined) continue;
    const trace = byPair.get(row.pair ?? row.zone ?? "");
    if (trace === undefined) throw new Error(`no trace for ${JSON.stringify(row)}`);
    const job: Job = {
      workSeconds: 48 * 3600,
      deadlineSeconds: Number(row.deadline_h) * 3600,
      changeoverSeconds: Number(row.d_h) * 3600,
      gapSeconds: trace.gapSeconds,
      onDemandUsdPerHour: 3.06,
      spotUsdPerHour: 0.9731,
    };
    const got = run(row.policy ?? "", trace, startOf(row), job);
    const where = `${trace.pair} window ${row.window} ${row.deadline_h} h d ${row.d_h} ${row.policy}`;
    note(comparison, where, Number(row.cost_usd), got.costUsd, 1e-5);
    if (row.policy === "omniscient") continue;
    // The online policies have one path, so every other column must agree too.
    const same: [string, number][] = [
      ["spot_h", got.spotSeconds / 3600],
      ["od_h", got.onDemandSeconds / 3600],
      ["spot_progress_h", got.spotProgressSeconds / 3600],
      ["od_progress_h", got.onDemandProgressSeconds / 3600],
      ["spot_starts", got.spotStarts],
      ["od_starts", got.onDemandStarts],
      ["preemptions", got.preemptions ?? -1],
      ["finish_h", (got.finishSeconds ?? 0) / 3600],
    ];
    for (const [column, value] of same) {
      const expected = Number(row[column]);
      if (Math.abs(expected - value) > 1e-4) comparison.mismatches.push({ where: `${where} ${column}`, expected, got: value });
    }
  }
  return comparison;
}

function compareSkyNomad(dir: string): Comparison {
  const comparison: Comparison = { table: "UP on SkyNomad's V100 windows, per-tick prices", rows: 0, worstUsd: 0, mismatches: [] };
  const traces = new Map(readGroup(dir, "aws-2023-02-15", { withPrices: true }).map((trace) => [trace.pair, trace]));
  const lines = readText(dir, "oracle.md").matchAll(
    /^\| (us-\S+) \| ([\d.]+) \| [\d.]+ \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \| (\d+) \|$/gm,
  );
  for (const [, zone, startHours, usd] of lines) {
    const trace = traces.get(`${zone}_v100_1`);
    if (trace === undefined) throw new Error(`no trace for ${zone}`);
    const job: Job = {
      workSeconds: 39.93888888888889 * 3600,
      deadlineSeconds: 59.90833333333333 * 3600,
      changeoverSeconds: 720,
      gapSeconds: 195,
      onDemandUsdPerHour: 3.06,
      spotUsdPerHour: 0.9731,
    };
    // The table rounds hours to six digits; the published start is the exact one.
    const start = Math.ceil((Number(startHours) * 3600) / 195 - 1e-3);
    note(comparison, `${zone} at ${startHours} h`, Number(usd), simulate(trace, start, job, uniformProgressPolicy).costUsd, 1e-5);
  }
  return comparison;
}

/** Compares every `every`-th row of each reference table. */
export function compareAll(dir: string, every: number): Comparison[] {
  const starts = (JSON.parse(readText(dir, "oracle/windows_2022-10-26.starts.json")) as { starts: number[] }).starts;
  return [
    compareWindows(
      dir,
      "2022-10-26, 300 windows, full series",
      "oracle/windows_2022-10-26.csv.gz",
      readGroup(dir, "aws-2022-10-26-full"),
      (row) => starts[Number(row.window)] ?? -1,
      every,
    ),
    compareWindows(
      dir,
      "2022-10-26, 300 windows, MIT series",
      "oracle/windows_2022-10-26.csv.gz",
      readGroup(dir, "aws-2022-10-26-mit"),
      (row) => (starts[Number(row.window)] ?? -1) - 3,
      every * 5,
    ),
    compareWindows(
      dir,
      "2023-02-15, 30 windows a zone",
      "oracle/windows_2023-02-15.csv",
      readGroup(dir, "aws-2023-02-15"),
      (row) => Number(row.start_tick),
      every,
    ),
    compareSkyNomad(dir),
  ];
}

if (import.meta.main) {
  const dir = findTraces();
  if (dir === undefined) {
    console.error("no traces: set AETHER_TRACES or place the bundle at ../shared/data/traces");
    process.exit(3);
  }
  const every = Number(process.argv[process.argv.indexOf("--every") + 1] ?? 1) || 1;
  let wrong = 0;
  for (const c of compareAll(dir, every)) {
    console.log(`${c.table}: ${c.rows} rows, worst difference ${c.worstUsd.toExponential(2)} USD, ${c.mismatches.length} mismatches`);
    for (const m of c.mismatches.slice(0, 5)) console.log(`  ${m.where}: expected ${m.expected}, got ${m.got}`);
    wrong += c.mismatches.length;
  }
  process.exit(wrong === 0 ? 0 : 1);
}
