/** One piece of backtest work: all windows of one trace under one job. Runs the same in a worker thread and in the main one. */
import {
  createAetherPolicy,
  formatRow,
  greedyPolicy,
  type Job,
  omniscient,
  onDemandPolicy,
  type Policy,
  simulate,
  uniformProgressPlainPolicy,
  uniformProgressPolicy,
} from "@aether/risk";
import { type Market, readTrace } from "./traces.ts";
import { runZones, type ZonesRow, type ZonesTask } from "./zones.ts";

export const POLICY_NAMES = ["on_demand", "greedy", "up_plain", "up", "aether", "omniscient"] as const;
export type PolicyName = (typeof POLICY_NAMES)[number];

export interface PoolTask {
  readonly kind: "pool";
  readonly market: Market;
  readonly windows: readonly { readonly window: number; readonly startTick: number }[];
  readonly jobHours: number;
  readonly deadlineHours: number;
  readonly changeoverHours: number;
  readonly onDemandUsdPerHour: number;
  readonly spotUsdPerHour: number;
  readonly withPrices: boolean;
  readonly policies: readonly PolicyName[];
}

/** One piece of work for a thread. */
export type Task = PoolTask | ZonesTask;

export interface PolicyTotal {
  readonly policy: PolicyName;
  runs: number;
  costUsd: number;
  misses: number;
}

/** One CSV line with the keys that it is sorted by. */
export interface Row {
  readonly pair: string;
  readonly window: number;
  readonly changeoverHours: number;
  readonly deadlineHours: number;
  readonly policy: PolicyName;
  readonly line: string;
}

export interface TaskResult {
  readonly rows: Row[];
  readonly totals: PolicyTotal[];
  /** Of a task over zones. */
  readonly zones?: readonly ZonesRow[];
}

/** Runs every window under every policy. Policies are made here, so that plans are shared by the windows of a task and by nothing else. */
export function runTask(task: Task): TaskResult {
  if (task.kind === "zones") return { rows: [], totals: [], zones: runZones(task) };
  const trace = readTrace(task.market, task.withPrices);
  const job: Job = {
    workSeconds: task.jobHours * 3600,
    deadlineSeconds: task.deadlineHours * 3600,
    changeoverSeconds: task.changeoverHours * 3600,
    gapSeconds: trace.gapSeconds,
    onDemandUsdPerHour: task.onDemandUsdPerHour,
    spotUsdPerHour: task.spotUsdPerHour,
  };
  const online: Record<Exclude<PolicyName, "omniscient">, Policy> = {
    on_demand: onDemandPolicy,
    greedy: greedyPolicy,
    up_plain: uniformProgressPlainPolicy,
    up: uniformProgressPolicy,
    aether: createAetherPolicy(),
  };
  const totals = task.policies.map((policy): PolicyTotal => ({ policy, runs: 0, costUsd: 0, misses: 0 }));
  const rows: Row[] = [];
  for (const { window, startTick } of task.windows) {
    for (const total of totals) {
      const result =
        total.policy === "omniscient" ? omniscient(trace, startTick, job) : simulate(trace, startTick, job, online[total.policy]);
      total.runs++;
      total.costUsd += result.costUsd;
      if (result.missedDeadline) total.misses++;
      const key = {
        pair: task.market.pair,
        window,
        deadlineHours: task.deadlineHours,
        changeoverHours: task.changeoverHours,
        policy: total.policy,
      };
      rows.push({ ...key, line: formatRow({ ...key, result }) });
    }
  }
  return { rows, totals };
}

/** The order of the reference table: pair, window, changeover, deadline, policy. */
export function byReferenceOrder(a: Row, b: Row): number {
  return (
    compare(a.pair, b.pair) ||
    a.window - b.window ||
    a.changeoverHours - b.changeoverHours ||
    a.deadlineHours - b.deadlineHours ||
    compare(a.policy, b.policy)
  );
}

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
