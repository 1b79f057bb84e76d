/** `aether backtest --zones`: options to tasks to a table. */
import { writeFileSync } from "node:fs";
import { fault } from "@aether/contract";
import type { Output } from "../../output.ts";
import type { Markets } from "./markets.ts";
import { runTasks } from "./pool.ts";
import { windowsOf } from "./starts.ts";
import type { Market } from "./traces.ts";
import { readZonePrices, ZONE_COLUMNS, ZONE_POLICIES, type ZonePolicyName, type ZonesTask } from "./zones.ts";

export interface ZonesOptions {
  readonly zones: string;
  readonly startHours?: readonly number[];
  readonly windows: number;
  readonly jobHours: number;
  readonly deadlineHours: readonly number[];
  readonly changeoverHours: readonly number[];
  readonly checkpointGb: number;
  readonly spotPrice: number;
  readonly zonePrices?: string;
  readonly policies: readonly string[];
  readonly threads: number;
  readonly csv?: string;
}

/** Throws with what is wrong. */
export async function backtestZones(
  from: Markets,
  options: ZonesOptions,
  output: Output,
  onDone: (share: number, text: string) => void,
  signal: AbortSignal,
): Promise<void> {
  const files = pick(from.markets, options.zones);
  const [first] = files;
  if (first === undefined) throw fault("INVALID_ARGUMENT", "no zones to run over", { field: "zones" });
  if (files.some((file) => file.gapSeconds !== first.gapSeconds || file.group !== first.group))
    throw fault("INVALID_ARGUMENT", "zones must be of one group, recorded together: name it with --group, or --instance-type", {
      field: "group",
    });
  if (new Set(files.map((file) => file.zone)).size < files.length)
    throw fault("INVALID_ARGUMENT", "a zone is there more than once: name one --instance-type", { field: "instance-type" });
  const shortest = files.reduce((least, file) => (file.ticks < least.ticks ? file : least), first);
  const policies = options.policies.filter((name): name is ZonePolicyName => ZONE_POLICIES.some((known) => known === name));
  if (policies.length === 0)
    throw fault("INVALID_ARGUMENT", `over zones the policies are ${ZONE_POLICIES.join(" and ")}`, { field: "policies" });
  const prices = options.zonePrices === undefined ? undefined : readZonePrices(from.dir ?? ".", options.zonePrices);
  const tasks = options.deadlineHours.flatMap((deadlineHours) =>
    options.changeoverHours.flatMap((changeoverHours) =>
      policies.map((policy): ZonesTask => {
        const needed = Math.ceil((deadlineHours * 3600) / first.gapSeconds - 1e-9);
        const windows =
          options.startHours?.map((hours, window) => ({ window, startTick: Math.ceil((hours * 3600) / first.gapSeconds - 1e-3) })) ??
          windowsOf(shortest, undefined, needed, options.windows);
        const { jobHours, checkpointGb } = options;
        return {
          kind: "zones",
          ...{ markets: files, jobHours, deadlineHours, changeoverHours, checkpointGb, policy },
          windows: windows.filter(({ startTick }) => startTick + needed <= shortest.ticks),
          onDemandUsdPerHour: from.onDemandUsdPerHour,
          spotUsdPerHour: options.spotPrice,
          withPrices: from.withPrices,
          ...(prices === undefined ? {} : { prices }),
        };
      }),
    ),
  );
  if (tasks.some((task) => task.windows.length === 0))
    throw fault("INVALID_ARGUMENT", `no window of ${Math.max(...options.deadlineHours)} h fits ${from.name}`);
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
  output.result({ zones: files.map((file) => file.zone), source: from.source, summaries }, () =>
    [
      `${files.length} zones: ${files.map((file) => file.zone).join(" ")}`,
      "deadline_h  d_h   policy      runs   mean_usd   misses",
      ...summaries.map((s) =>
        [
          s.deadlineHours.toFixed(2).padEnd(10),
          String(s.changeoverHours).padEnd(4),
          s.policy.padEnd(10),
          String(s.runs).padStart(5),
          s.meanCostUsd.toFixed(4).padStart(9),
          String(s.deadlineMisses).padStart(7),
        ].join("  "),
      ),
      ...from.words,
    ].join("\n"),
  );
}

function pick(all: readonly Market[], zones: string): Market[] {
  if (zones === "all") return [...all];
  return zones.split(",").map((name) => {
    const file = all.find((each) => each.zone === name || each.pair === name);
    if (file === undefined)
      throw fault("INVALID_ARGUMENT", `there is no zone ${name}; there are ${all.map((each) => each.zone).join(", ")}`, { field: "zones" });
    return file;
  });
}
