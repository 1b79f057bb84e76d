/**
 * `aether backtest`: what would a job with a deadline have cost on recorded spot markets, under the published policies, ours, and perfect
 * foresight. Results go to stdout (a table, or one JSON document), rows to the CSV file, progress to stderr.
 */
import { writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { fault } from "@aether/contract";
import { RESULT_COLUMNS } from "@aether/risk";
import { type Command, InvalidArgumentError } from "commander";
import { aboveZero, action, atLeastZero, type Context, listOf, wholeNumber, withCommon } from "../../options.ts";
import { MOST_HOURS } from "../../prices/core-prices.ts";
import { findMarkets, type MarketFlags } from "./markets.ts";
import { backtestZones, type ZonesOptions } from "./over-zones.ts";
import { runTasks } from "./pool.ts";
import { saveMarkets } from "./save-markets.ts";
import { readStarts, windowsOf } from "./starts.ts";
import { byReferenceOrder, POLICY_NAMES, type PolicyName, type PoolTask } from "./task.ts";

/** The group that a starts file's ticks are counted in. */
const STARTS_GROUP = "aws-2022-10-26-full";

interface BacktestOptions extends Partial<Pick<ZonesOptions, "zones" | "zonePrices" | "startHours">>, MarketFlags {
  readonly checkpointGb: number;
  readonly starts?: string;
  readonly windows: number;
  readonly jobHours: number;
  readonly deadlineHours: number[];
  readonly changeoverHours: number[];
  readonly policies: PolicyName[];
  readonly spotPrice: number;
  readonly threads: number;
  readonly csv?: string;
  readonly saveTraces?: string;
}

interface Summary {
  readonly deadlineHours: number;
  readonly changeoverHours: number;
  readonly policy: PolicyName;
  readonly runs: number;
  readonly meanCostUsd: number;
  readonly deadlineMisses: number;
}

function policy(name: string): PolicyName {
  const known = POLICY_NAMES.find((each) => each === name);
  if (known === undefined) throw new InvalidArgumentError(`"${name}" is none of ${POLICY_NAMES.join(", ")}`);
  return known;
}

/** Adds the `backtest` command to the program. */
export function registerBacktest(program: Command): void {
  withCommon(program.command("backtest"))
    .description("replay a job with a deadline on recorded spot markets and compare policies")
    .option("--traces <dir>", "folder with manifest.csv and the traces it names, instead of the control plane's own price tables")
    .option("--group <name>", "with --traces: only this group of traces")
    .option("--hours <h>", "of the price tables: how far back (720)", wholeNumber(1, MOST_HOURS))
    .option("--region <name>", "of the price tables: only this region")
    .option("--instance-type <name>", "of the price tables: only this type")
    .option("--save-traces <dir>", "write what was run over as a folder for --traces")
    .option("--starts <file>", "JSON file with the start ticks of the windows")
    .option("--windows <n>", "windows for each trace, spread evenly, when no --starts is given", wholeNumber(1, 100_000), 30)
    .option("--job-hours <h>", "work of the job", aboveZero, 48)
    .option("--deadline-hours <h,...>", "deadlines", listOf(aboveZero), [52, 60])
    .option("--changeover-hours <h,...>", "paid on every start", listOf(aboveZero), [0.2])
    .option("--policies <a,b>", POLICY_NAMES.join(", "), listOf(policy), [...POLICY_NAMES])
    .option("--on-demand-price <usd>", "USD per hour (the price tables' own; 3.06 with --traces)", aboveZero)
    .option("--spot-price <usd>", "USD per hour, where a trace has no prices or --prices is not given", aboveZero, 0.9731)
    .option("--prices", "with --traces: use the price series beside the traces")
    .option("--zones <a,b|all>", "one job over several zones of the group, instead of one after the other")
    .option("--zone-prices <file>", "with --zones: prices by zone, a CSV file of the bundle")
    .option("--checkpoint-gb <gb>", "with --zones: what follows the job to another region", aboveZero, 50)
    .option("--start-hours <h,...>", "with --zones: where windows start", listOf(atLeastZero))
    .option("--threads <n>", "worker threads", wholeNumber(1, 256), availableParallelism())
    .option("--csv <file>", "write one row a run")
    .addHelpText(
      "after",
      `
Prices are not capacity: over the price tables a tick counts as there while the spot price is at or below on-demand and the fleet lost no instance of the pool.

Examples:
  $ aether backtest --hours 336 --instance-type m5.large --job-hours 24 --deadline-hours 30
  $ aether backtest --traces DIR --group aws-2022-10-26-full --deadline-hours 52,60,92 --policies greedy,up,aether --csv runs.csv
  $ aether backtest --traces DIR --group gcp-2025-10-04-h100x16 --zones all --zone-prices reference/gcp_h100_prices_2025-10.csv \\
      --job-hours 34.5555556 --deadline-hours 51.8333333 --start-hours 0,51.8333333,103.6666667`,
    )
    .action(action(backtest));
}

async function backtest({ core, output, signal }: Context, options: BacktestOptions): Promise<void> {
  const from = await findMarkets(options.starts === undefined ? options : { group: STARTS_GROUP, ...options }, core, signal);
  if (options.saveTraces !== undefined) saveMarkets(options.saveTraces, from);
  const isTerminal = process.stderr.isTTY === true;
  const tell = (share: number, text: string): void => {
    if (isTerminal) process.stderr.write(share < 1 ? `\r${bar(share)} ${text}` : "\r\x1b[K");
  };
  const { zones } = options;
  if (zones !== undefined) return backtestZones(from, { ...options, zones }, output, tell, signal);
  const starts = options.starts === undefined ? undefined : readStarts(options.starts);
  const longest = Math.max(...options.deadlineHours);
  const tasks: PoolTask[] = [];
  const skipped: string[] = [];
  for (const deadlineHours of options.deadlineHours) {
    for (const changeoverHours of options.changeoverHours) {
      for (const market of from.markets) {
        // All deadlines share their windows, so that their means can be compared.
        const needed = starts?.lengthTicks ?? Math.ceil((longest * 3600) / market.gapSeconds);
        const windows = windowsOf(market, starts, Math.max(needed, Math.ceil((longest * 3600) / market.gapSeconds)), options.windows);
        if (windows.length === 0) {
          skipped.push(market.pair);
          continue;
        }
        const { jobHours, policies } = options;
        tasks.push({
          kind: "pool",
          market,
          windows,
          jobHours,
          deadlineHours,
          changeoverHours,
          policies,
          onDemandUsdPerHour: market.onDemandUsdPerHour ?? from.onDemandUsdPerHour,
          spotUsdPerHour: options.spotPrice,
          withPrices: from.withPrices,
        });
      }
    }
  }
  if (skipped.length > 0) output.say(`too short for a ${longest} h window, left out: ${[...new Set(skipped)].join(", ")}`);
  if (tasks.length === 0)
    throw fault("INVALID_ARGUMENT", `no trace is long enough for a ${longest} h window`, {
      hint: "Give a shorter job: --job-hours 8 --deadline-hours 10.",
    });
  const results = await runTasks(
    tasks,
    options.threads,
    (finished) => tell(finished / tasks.length, `${finished}/${tasks.length}`),
    signal,
  );
  if (options.csv !== undefined) {
    const rows = results.flatMap((result) => result.rows).sort(byReferenceOrder);
    writeFileSync(options.csv, `${[RESULT_COLUMNS, ...rows.map((row) => row.line)].join("\n")}\n`);
  }
  const summaries = summarise(tasks, results);
  output.result({ runs: summaries.reduce((n, s) => n + s.runs, 0), source: from.source, summaries }, () =>
    [table(summaries), ...from.words].join("\n"),
  );
}

const bar = (share: number): string => `[${"#".repeat(Math.round(share * 30)).padEnd(30, ".")}]`;

function summarise(
  tasks: readonly PoolTask[],
  results: readonly { totals: readonly { policy: PolicyName; runs: number; costUsd: number; misses: number }[] }[],
): Summary[] {
  const sums = new Map<
    string,
    { deadlineHours: number; changeoverHours: number; policy: PolicyName; runs: number; costUsd: number; misses: number }
  >();
  for (const [i, task] of tasks.entries()) {
    for (const total of results[i]?.totals ?? []) {
      const key = `${task.deadlineHours} ${task.changeoverHours} ${total.policy}`;
      const sum = sums.get(key) ?? {
        deadlineHours: task.deadlineHours,
        changeoverHours: task.changeoverHours,
        policy: total.policy,
        runs: 0,
        costUsd: 0,
        misses: 0,
      };
      sum.runs += total.runs;
      sum.costUsd += total.costUsd;
      sum.misses += total.misses;
      sums.set(key, sum);
    }
  }
  return [...sums.values()].map(({ costUsd, misses, ...rest }) => ({ ...rest, meanCostUsd: costUsd / rest.runs, deadlineMisses: misses }));
}

function table(summaries: readonly Summary[]): string {
  const lines = summaries.map((s) =>
    [
      String(s.deadlineHours).padEnd(10),
      String(s.changeoverHours).padEnd(4),
      s.policy.padEnd(10),
      String(s.runs).padStart(5),
      s.meanCostUsd.toFixed(4).padStart(10),
      String(s.deadlineMisses).padStart(8),
    ].join("  "),
  );
  return ["deadline_h  d_h   policy      runs   mean_usd   misses", ...lines].join("\n");
}
