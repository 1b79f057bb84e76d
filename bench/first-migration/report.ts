// The table of a run: medians with the extremes beside them, since seven runs carry no honest p99, and the ratio to the baseline.
import type { Measured } from "./bare.ts";

export interface Row {
  readonly sizeMb: number;
  readonly method: string;
  readonly measured: readonly Measured[];
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1
    ? (sorted[middle] ?? Number.NaN)
    : ((sorted[middle - 1] ?? Number.NaN) + (sorted[middle] ?? Number.NaN)) / 2;
}

function cell(all: readonly number[]): string {
  const values = all.filter(Number.isFinite);
  return values.length === 0 ? "-" : `${median(values).toFixed(0)} (${Math.min(...values).toFixed(0)}-${Math.max(...values).toFixed(0)})`;
}

/** Markdown. `runs` moves per row; times in ms as median (min-max). */
export function report(rows: readonly Row[], machine: string, runs: number): string {
  const lines = [
    "| redis | method | freeze ms | client gap ms | longest wait before the cut, ms | whole move ms | worst answer in 5 s after, ms | gap / bare | errors, wrong answers |",
    "|---|---|---|---|---|---|---|---|---|",
  ];
  for (const row of rows) {
    const bare = rows.find((other) => other.sizeMb === row.sizeMb && other.method.startsWith("bare"));
    const of = (pick: (one: Measured) => number) => row.measured.map(pick);
    const gapOf = (all: readonly Measured[]) => median(all.map((one) => one.gapMs).filter(Number.isFinite));
    const ratio = bare === undefined ? Number.NaN : gapOf(row.measured) / gapOf(bare.measured);
    const errors = row.measured.filter((one) => one.error !== null).length;
    const wrong = row.measured.reduce((sum, one) => sum + one.wrongCount, 0);
    lines.push(
      `| ${row.sizeMb} MB | ${row.method} | ${cell(of((one) => one.freezeMs))} | ${cell(of((one) => one.gapMs))} | ${cell(of((one) => one.beforeMs))} | ` +
        `${cell(of((one) => one.totalMs))} | ${cell(of((one) => one.worstAfterMs))} | ${ratio.toFixed(2)} | ${errors}, ${wrong} |`,
    );
  }
  return [`${runs} moves a row, median (min-max), all methods in turn in one run. Machine: ${machine}.`, "", ...lines].join("\n");
}
