/**
 * Markets that a backtest runs over. Those of a trace bundle stay on disk until a thread needs them: manifest.csv names the files, each trace is
 * run-length coded CSV, prices lie beside it. Recorded ones (core-markets.ts) come whole.
 */
import { readFileSync } from "node:fs";
import { isAbsolute, join, relative, resolve } from "node:path";
import { gunzipSync } from "node:zlib";
import { fault } from "@aether/contract";
import { parseTrace, type Trace } from "@aether/risk";

export interface Market {
  readonly pair: string;
  readonly group: string;
  readonly zone: string;
  readonly gapSeconds: number;
  readonly ticks: number;
  /** Where the market's own on-demand price is known. */
  readonly onDemandUsdPerHour?: number;
  readonly source: TraceFile | Trace;
}

export interface TraceFile {
  readonly dir: string;
  readonly file: string;
  readonly instances: number;
  readonly priceFile?: string;
}

/** A file of the bundle, unpacked. Throws INVALID_ARGUMENT when it is not there or lies outside. */
export function readText(dir: string, name: string): string {
  const path = resolve(dir, name);
  const inside = relative(dir, path);
  const wrong = (message: string, cause?: unknown) =>
    fault("INVALID_ARGUMENT", message, {
      field: "traces",
      cause,
      hint: "--traces is a folder with manifest.csv and the files that it names.",
    });
  if (isAbsolute(name) || inside.startsWith("..")) throw wrong(`${name} in the manifest leaves the trace folder`);
  try {
    const bytes = readFileSync(path);
    return (name.endsWith(".gz") ? gunzipSync(bytes) : bytes).toString("utf8");
  } catch (cause) {
    throw wrong(`${path} cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`, cause);
  }
}

/** Splits one CSV line; cells may be quoted, quotes are doubled inside. */
export function splitCsvLine(line: string): string[] {
  const cells: string[] = [];
  let cell = "";
  let isQuoted = false;
  for (let i = 0; i < line.length; i++) {
    const char = line[i];
    if (isQuoted) {
      if (char !== '"') cell += char;
      else if (line[i + 1] === '"') {
        cell += '"';
        i++;
      } else isQuoted = false;
    } else if (char === '"') isQuoted = true;
    else if (char === ",") {
      cells.push(cell);
      cell = "";
    } else cell += char;
  }
  cells.push(cell);
  return cells;
}

/** A CSV file of the bundle as records keyed by its header. */
export function readTable(dir: string, name: string): Record<string, string>[] {
  const lines = readText(dir, name).split(/\r?\n/).filter(Boolean);
  const header = splitCsvLine(lines[0] ?? "");
  return lines.slice(1).map((line) => Object.fromEntries(splitCsvLine(line).map((cell, i) => [header[i] ?? String(i), cell])));
}

/** ZONE_DEVICE of a trace file: `.../GROUP__ZONE__DEVICE.csv`. */
export function pairOf(file: string): string {
  const [, zone, device] = (file.split("/").at(-1) ?? file).replace(/\.csv(\.gz)?$/, "").split("__");
  if (zone === undefined || device === undefined) throw new Error(`${file} is not named GROUP__ZONE__DEVICE.csv`);
  return `${zone}_${device}`;
}

/** The availability traces that the bundle's manifest names, of one group if wanted. Throws when the manifest lacks a column. */
export function listTraces(dir: string, group?: string): Market[] {
  const lines = readText(dir, "manifest.csv").split(/\r?\n/).filter(Boolean);
  const header = splitCsvLine(lines[0] ?? "");
  const column = (name: string): number => {
    const at = header.indexOf(name);
    if (at < 0) throw new Error(`${join(dir, "manifest.csv")} has no column "${name}"`);
    return at;
  };
  const at = {
    kind: column("kind"),
    file: column("file"),
    price: column("price_file"),
    group: column("group"),
    zone: column("zone"),
    capacity: column("requested_capacity"),
    gap: column("gap_seconds"),
    ticks: column("ticks"),
  };
  return lines
    .slice(1)
    .map(splitCsvLine)
    .filter((cells) => cells[at.kind] === "availability" && (group === undefined || cells[at.group] === group))
    .map((cells) => {
      const file = cells[at.file] ?? "";
      const priceFile = cells[at.price];
      return {
        pair: pairOf(file),
        group: cells[at.group] ?? "",
        zone: cells[at.zone] ?? "",
        gapSeconds: Number(cells[at.gap]),
        ticks: Number(cells[at.ticks]),
        source: { dir, file, instances: Number(cells[at.capacity]), ...(priceFile ? { priceFile } : {}) },
      };
    });
}

/** @param withPrices read the price series beside a file; a recorded market has its own in any case. */
export function readTrace({ pair, zone, gapSeconds, source }: Market, withPrices: boolean): Trace {
  if (!("file" in source)) return source;
  const { dir, file, instances, priceFile } = source;
  return parseTrace({
    ...{ pair, zone, gapSeconds, instances },
    capacityCsv: readText(dir, file),
    ...(withPrices && priceFile ? { priceCsv: readText(dir, priceFile) } : {}),
  });
}
