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

const cell = (values: readonly number[]) =>
  `${median(values).toFixed(0)} (${Math.min(...values).toFixed(0)}-${Math.max(...values).toFixed(0)})`;

/** Markdown. `runs` moves per row; times in ms as median (min-max). */
export function report(rows: readonly Row[], machine: string, runs: number): string {
  const lines = [
    "| redis | method | freeze ms | client gap ms | whole move ms | worst answer after ms | gap / bare | errors, wrong answers |",
    "|---|---|---|---|---|---|---|---|",
  ];
  for (const row of rows) {
    const bare = rows.find((other) => other.sizeMb === row.sizeMb && other.method.startsWith("bare"));
    const gaps = row.measured.map((one) => one.gapMs);
    const ratio = bare === undefined ? Number.NaN : median(gaps) / median(bare.measured.map((one) => one.gapMs));
    const errors = row.measured.filter((one) => one.error !== null).length;
    const wrong = row.measured.reduce((sum, one) => sum + one.wrongCount, 0);
    lines.push(
      `| ${row.sizeMb} MB | ${row.method} | ${cell(row.measured.map((one) => one.freezeMs))} | ${cell(gaps)} | ${cell(row.measured.map((one) => one.totalMs))} | ${cell(
        row.measured.map((one) => one.worstAfterMs),
      )} | ${ratio.toFixed(2)} | ${errors}, ${wrong} |`,
    );
  }
  return [`${runs} moves a row, median (min-max), all methods in turn in one run. Machine: ${machine}.`, "", ...lines, ""].join("\n");
}
