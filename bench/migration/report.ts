// The table of all that was measured: medians and the 99th percentile by nearest rank (with 15 samples that is the largest), ratios to stop-and-copy by criu alone.
import { type Cell, isOf, type Sample } from "./cells.ts";

/** Nearest rank; NaN of nothing. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? Number.NaN;
}

const pair = (values: readonly number[]) => `${percentile(values, 0.5).toFixed(0)} / ${percentile(values, 0.99).toFixed(0)}`;

export function report(cells: readonly Cell[], methods: readonly string[], samples: readonly Sample[], machine: string): string {
  const lines = [
    `Medians / 99th percentiles, ms. Machine: ${machine}.`,
    "",
    "| memory, writes, link | method | n | freeze | client gap | worst answer in 5 s after | answers over 50 ms after | whole move | CPU s | MiB sent | gap / criu stop-and-copy | errors, wrong |",
    "|---|---|---|---|---|---|---|---|---|---|---|---|",
  ];
  for (const cell of cells) {
    const baseline = samples.filter(isOf(cell, "criu")).map((sample) => Number(sample.gap_ms));
    for (const method of methods) {
      const of = samples.filter(isOf(cell, method));
      if (of.length === 0) continue;
      const good = of.filter((sample) => sample.error === "");
      const column = (name: keyof Sample) => good.map((sample) => Number(sample[name])).filter(Number.isFinite);
      const ratio = percentile(column("gap_ms"), 0.5) / percentile(baseline, 0.5);
      const name = `${cell.memoryMb} MB, ${cell.dirtyMb} MB/s, ${cell.linkMbit === 0 ? "unlimited" : `${cell.linkMbit} Mbit/s`}`;
      lines.push(
        `| ${name} | ${method} | ${of.length} | ${pair(column("freeze_ms"))} | ${pair(column("gap_ms"))} | ${pair(column("worst_after_ms"))} | ` +
          `${pair(column("over_50_ms_after"))} | ${pair(column("total_ms"))} | ${percentile(column("cpu_s"), 0.5).toFixed(2)} | ` +
          `${(percentile(column("sent_bytes"), 0.5) / 2 ** 20).toFixed(0)} | ${Number.isNaN(ratio) ? "-" : ratio.toFixed(2)} | ` +
          `${of.length - good.length}, ${of.reduce((sum, sample) => sum + Number(sample.wrong), 0)} |`,
      );
    }
  }
  return `${lines.join("\n")}\n`;
}
