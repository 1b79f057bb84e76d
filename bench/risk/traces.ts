/** Finds and reads the trace bundle for the benches: `../shared/data/traces` beside the repository, or AETHER_TRACES. */
import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { gunzipSync } from "node:zlib";
import { parseTrace, type Trace } from "@aether/risk";

/** The bundle's folder, or undefined where it is not on this machine. */
export function findTraces(): string | undefined {
  const dir = process.env.AETHER_TRACES ?? resolve(import.meta.dirname, "../../../shared/data/traces");
  return existsSync(join(dir, "manifest.csv")) ? dir : undefined;
}

export function readText(dir: string, name: string): string {
  const bytes = readFileSync(join(dir, name));
  return (name.endsWith(".gz") ? gunzipSync(bytes) : bytes).toString("utf8");
}

/** Splits CSV text with quoted cells into records keyed by the header. */
export function readTable(dir: string, name: string): Record<string, string>[] {
  const lines = readText(dir, name).trimEnd().split(/\r?\n/);
  const cells = (line: string): string[] =>
    [...line.matchAll(/(?:^|,)(?:"((?:[^"]|"")*)"|([^,]*))/g)].map((m) => (m[1] ?? m[2] ?? "").replaceAll('""', '"'));
  const header = cells(lines[0] ?? "");
  return lines.slice(1).map((line) => Object.fromEntries(cells(line).map((cell, i) => [header[i] ?? String(i), cell])));
}

/** ZONE_DEVICE of a trace file `.../GROUP__ZONE__DEVICE.csv`. */
export function pairOf(file: string): string {
  return file
    .replace(/^.*\/[^/]*?__/, "")
    .replace(/\.csv$/, "")
    .replace("__", "_");
}

/** Reads every availability trace of a group. */
export function readGroup(dir: string, group: string, options: { withPrices?: boolean; instances?: number } = {}): Trace[] {
  return readTable(dir, "manifest.csv")
    .filter((row) => row.kind === "availability" && row.group === group)
    .map((row) => {
      const file = row.file ?? "";
      const pair = pairOf(file);
      return parseTrace({
        pair,
        zone: row.zone ?? "",
        gapSeconds: Number(row.gap_seconds),
        capacityCsv: readText(dir, file),
        instances: options.instances ?? Number(row.requested_capacity),
        ...(options.withPrices && row.price_file ? { priceCsv: readText(dir, row.price_file) } : {}),
      });
    });
}
