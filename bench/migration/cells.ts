// The grid, and what is measured of it already: one CSV line a move, so that a run can be broken off and taken up again.
import { appendFileSync, existsSync, readFileSync, writeFileSync } from "node:fs";

export interface Cell {
  readonly memoryMb: number;
  readonly dirtyMb: number;
  /** Mbit/s by tbf; 0: as fast as it goes. */
  readonly linkMbit: number;
}

export const columns = [
  "memory_mb",
  "dirty_mb_s",
  "link_mbit_s",
  "method",
  "freeze_ms",
  "gap_ms",
  "safe_ms",
  "total_ms",
  "worst_after_ms",
  "over_50_ms_after",
  "cpu_s",
  "sent_bytes",
  "link_bytes_s",
  "phases",
  "wrong",
  "error",
] as const;
export type Sample = Record<(typeof columns)[number], string>;

/** How long the client is watched after the resume, ms: stalls are looked for where somebody writes. */
export const watchMs = (cell: Cell): number => (cell.dirtyMb > 0 ? 5_000 : 2_000);

/** "16,256" x "0,50" x "0,1000", in the order in which they are measured. */
export function gridOf(memories: string, rates: string, links: string): Cell[] {
  const numbers = (text: string) => text.split(",").map(Number);
  return numbers(links).flatMap((linkMbit) =>
    numbers(memories).flatMap((memoryMb) => numbers(rates).map((dirtyMb) => ({ memoryMb, dirtyMb, linkMbit }))),
  );
}

export function readSamples(file: string): Sample[] {
  if (!existsSync(file)) writeFileSync(file, `${columns.join(",")}\n`);
  const [, ...lines] = readFileSync(file, "utf8").trim().split("\n");
  return lines.map((line) => Object.fromEntries(line.split(",").map((value, index) => [columns[index], value])) as Sample);
}

/** "freeze.dump=61.2;restore.criu=80.1": what a move was made of, ms. */
export const phasesOf = (sample: Sample): Map<string, number> =>
  new Map(
    (sample.phases ?? "")
      .split(";")
      .filter(Boolean)
      .map((one) => one.split("=") as [string, string])
      .map(([name, ms]) => [name, Number(ms)]),
  );

export function keepSample(file: string, sample: Sample): void {
  appendFileSync(file, `${columns.map((column) => sample[column].replaceAll(/[,\n]/g, " ")).join(",")}\n`);
}

export const isOf = (cell: Cell, method: string) => (sample: Sample) =>
  sample.memory_mb === String(cell.memoryMb) &&
  sample.dirty_mb_s === String(cell.dirtyMb) &&
  sample.link_mbit_s === String(cell.linkMbit) &&
  sample.method === method;
