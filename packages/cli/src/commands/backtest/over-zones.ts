/** `aether backtest --zones`: options to tasks to a table. */
import { writeFileSync } from "node:fs";
import { runTasks } from "./pool.ts";
import { windowsOf } from "./starts.ts";
import type { TraceFile } from "./traces.ts";
import { ZONE_COLUMNS, ZONE_POLICIES, type ZonePolicyName, type ZonesTask } from "./zones.ts";

export interface ZonesOptions {
  readonly zones: string;
  readonly startHours?: readonly number[];
  readonly windows: number;
  readonly jobHours: number;
  readonly deadlineHours: readonly number[];
  readonly changeoverHours: readonly number[];
  readonly checkpointGb: number;
  readonly onDemandPrice: number;
  readonly spotPrice: number;
  readonly prices?: boolean;
  readonly zonePrices?: string;
  readonly policies: readonly string[];
  readonly threads: number;
  readonly csv?: string;
  readonly json?: boolean;
}

/** Throws with what is wrong. */
export async function backtestZones(
  dir: string,
  all: readonly TraceFile[],
  options: ZonesOptions,
  onDone: (share: number, text: string) => void,
  signal: AbortSignal,
): Promise<void> {
  const files = pick(all, options.zones);
  const [first] = files;
  if (first === undefined) throw new Error("no zones to run over");
  if (files.some((file) => file.gapSeconds !== first.gapSeconds || file.group !== first.group))
    throw new Error("zones must be of one group, recorded together: name it with --group");
  const shortest = files.reduce((least, file) => (file.ticks < least.ticks ? file : least), first);
  const policies = options.policies.filter((name): name is ZonePolicyName => ZONE_POLICIES.some((known) => known === name));
  if (policies.length === 0) throw new Error(`over zones the policies are ${ZONE_POLICIES.join(" and ")}`);
  const tasks = options.deadlineHours.flatMap((deadlineHours) =>
    options.changeoverHours.flatMap((changeoverHours) =>
      policies.map((policy): ZonesTask => {
        const needed = Math.ceil((deadlineHours * 3600) / first.gapSeconds - 1e-9);
        const windows =
          options.startHours?.map((hours, window) => ({ window, startTick: Math.ceil((hours * 3600) / first.gapSeconds - 1e-3) })) ??
          windowsOf(shortest, undefined, needed, options.windows);
        const { jobHours, checkpointGb, onDemandPrice, spotPrice, zonePrices } = options;
        return {
          kind: "zones",
          ...{ dir, files, jobHours, deadlineHours, changeoverHours, checkpointGb, policy },
          windows: windows.filter(({ startTick }) => startTick + needed <= shortest.ticks),
          onDemandUsdPerHour: onDemandPrice,
          spotUsdPerHour: spotPrice,
          withPrices: options.prices === true,
          ...(zonePrices === undefined ? {} : { priceFile: zonePrices }),
        };
      }),
    ),
  );
  if (tasks.some((task) => task.windows.length === 0))
    throw new Error(`no window of ${Math.max(...options.deadlineHours)} h fits the traces`);
  const results = await runTasks(tasks, options.threads, (done) => onDone(done / tasks.length, `${done}/${tasks.length}`), signal);
  const rows = results.map((result) => result.zones ?? []);
  if (options.csv !== undefined) writeFileSync(options.csv, `${[ZONE_COLUMNS, ...rows.flat().map((row) => row.line)].join("\n")}\n`);
  const summaries = tasks.map(({ deadlineHours, changeoverHours, policy }, i) => {
    const mine = rows[i] ?? [];
    return {
      deadlineHours,
      changeoverHours,
      policy,
      runs: mine.length,
      meanCostUsd: mine.reduce((sum, row) => sum + row.costUsd, 0) / mine.length,
      deadlineMisses: mine.filter((row) => row.missed).length,
    };
  });
  if (options.json) {
    process.stdout.write(`${JSON.stringify({ zones: files.map((file) => file.zone), summaries }, null, 2)}\n`);
    return;
  }
  process.stdout.write(
    `${files.length} zones: ${files.map((file) => file.zone).join(" ")}\ndeadline_h  d_h   policy      runs   mean_usd   misses\n`,
  );
  for (const s of summaries)
    process.stdout.write(
      `${s.deadlineHours.toFixed(2).padEnd(10)}  ${String(s.changeoverHours).padEnd(4)}  ${s.policy.padEnd(10)}  ${String(s.runs).padStart(5)}  ${s.meanCostUsd.toFixed(4).padStart(9)}  ${String(s.deadlineMisses).padStart(7)}\n`,
    );
}

function pick(all: readonly TraceFile[], zones: string): TraceFile[] {
  if (zones === "all") return [...all];
  return zones.split(",").map((name) => {
    const file = all.find((each) => each.zone === name || each.pair === name);
    if (file === undefined) throw new Error(`there is no zone ${name}; there are ${all.map((each) => each.zone).join(", ")}`);
    return file;
  });
}
