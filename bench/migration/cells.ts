// The grid, and what is measured of it already: one CSV line a move, so that a run can be broken off and taken up again; and a JSON line for each run, which says where it was.
import { appendFileSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import type { Where } from "../where.ts";

export interface Cell {
  readonly memoryMb: number;
  readonly dirtyMb: number;
  /** Mbit/s by tbf; 0: as fast as it goes. */
  readonly linkMbit: number;
}

/** In the order in which they are shown. */
export const methods = ["aether-pre-copy", "aether-post-copy", "aether-stop-and-copy", "criu", "criu-lazy", "podman"] as const;

export const nameOf = (cell: Cell) => `${cell.memoryMb} MB, ${cell.dirtyMb} MB/s${cell.linkMbit === 0 ? "" : `, ${cell.linkMbit} Mbit/s`}`;

const columns = [
  /** {@link Run.run}. */
  "run",
  "at",
  "memory_mb",
  "dirty_mb_s",
  "link_mbit_s",
  "method",
  /** Which move of its redis it was: a moved one has other pages than one that was just filled. */
  "nth",
  "freeze_ms",
  "gap_ms",
  "before_ms",
  "over_50_ms_before",
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
export type Sample = Readonly<Record<(typeof columns)[number], string>>;

/** One call of run.ts: its samples name it. */
export interface Run extends Where {
  /** When it began; its name in the CSV. */
  readonly run: string;
  readonly criu: string;
  readonly options: string;
  readonly notes: readonly string[];
}

/** "16,256" x "0,50" x "0,1000": of each memory all that is done with it, since a redis is filled for it once. */
export function gridOf(memories: string, rates: string, links: string): Cell[] {
  const numbers = (text: string) => text.split(",").map(Number);
  return numbers(memories).flatMap((memoryMb) =>
    numbers(links).flatMap((linkMbit) => numbers(rates).map((dirtyMb) => ({ memoryMb, dirtyMb, linkMbit }))),
  );
}

/** @throws Error where the file has other columns: its samples are not of this program */
export function readSamples(file: string): Sample[] {
  if (!existsSync(file)) return [];
  const [header = "", ...lines] = readFileSync(file, "utf8").trim().split("\n");
  if (header !== columns.join(","))
    throw new Error(`${file} has other columns than this program writes: move it away, or name another with --out`);
  return lines.map((line) => Object.fromEntries(line.split(",").map((value, index) => [columns[index], value])) as Sample);
}

export function keepSample(file: string, sample: Sample): void {
  if (!existsSync(file)) writeFileSync(file, `${columns.join(",")}\n`);
  appendFileSync(file, `${columns.map((column) => sample[column].replaceAll(/[,\n]/g, " ")).join(",")}\n`);
}

export function readRuns(file: string): Run[] {
  if (!existsSync(file)) return [];
  return readFileSync(file, "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Run);
}

export const keepRun = (file: string, run: Run): void => appendFileSync(file, `${JSON.stringify(run)}\n`);

/** Of the whole grid, what there is too little of: the same words on both pages. */
export function missingOf(samples: readonly Sample[]): string[] {
  const memories = [16, 256, 1024, 4096];
  const whole = gridOf(memories.join(","), "0,50,200", "0,1000").sort((a, b) => a.linkMbit - b.linkMbit || a.dirtyMb - b.dirtyMb);
  const counts = (method: string) => whole.map((cell) => ({ cell, n: samples.filter(isOf(cell, method)).length }));
  const few = counts("aether-pre-copy").filter(({ n }) => n > 0 && n < 15);
  const none = methods.map((method) => ({ method, cells: counts(method).flatMap(({ cell, n }) => (n === 0 ? [cell] : [])) }));
  /** "50 MB/s with 256 and 1024 MB" */
  const shown = (cells: readonly Cell[]) =>
    [...Map.groupBy(cells, ({ dirtyMb, linkMbit }) => `${dirtyMb} MB/s${linkMbit === 0 ? "" : ` over ${linkMbit} Mbit/s`}`)]
      .map(([name, of]) => (of.length === memories.length ? name : `${name} with ${of.map(({ memoryMb }) => memoryMb).join(" and ")} MB`))
      .join("; ");
  return [
    ...(few.length === 0
      ? []
      : [`aether-pre-copy, fewer than 15 moves: ${few.map(({ cell, n }) => `${nameOf(cell)} (${n})`).join("; ")}.`]),
    ...none
      .filter(({ cells }) => cells.length > 0)
      .map(({ method, cells }) => `${method}, not at all: ${cells.length === whole.length ? "anywhere" : shown(cells)}.`),
  ];
}

/** "freeze.dump=61.2;restore.criu=80.1": what a move was made of, ms. */
export const phasesOf = (sample: Sample): Map<string, number> =>
  new Map(
    sample.phases
      .split(";")
      .filter(Boolean)
      .map((one) => one.split("=") as [string, string])
      .map(([name, ms]) => [name, Number(ms)]),
  );

export const isOf = (cell: Cell, method: string) => (sample: Sample) =>
  sample.memory_mb === String(cell.memoryMb) &&
  sample.dirty_mb_s === String(cell.dirtyMb) &&
  sample.link_mbit_s === String(cell.linkMbit) &&
  sample.method === method;

/** All that was measured: without a limit of the link first, then by memory and writes. */
export function cellsOf(samples: readonly Sample[]): Cell[] {
  const cells = samples.map((sample) => ({
    memoryMb: Number(sample.memory_mb),
    dirtyMb: Number(sample.dirty_mb_s),
    linkMbit: Number(sample.link_mbit_s),
  }));
  const byName = new Map(cells.map((cell) => [JSON.stringify(cell), cell]));
  return [...byName.values()].sort((a, b) => a.linkMbit - b.linkMbit || a.memoryMb - b.memoryMb || a.dirtyMb - b.dirtyMb);
}
