// Makes the page anew from what was measured, and measures nothing:
//   node bench/migration/page.ts [--out docs/benchmarks/migration] [--summary docs/benchmarks.md]
// reads OUT.csv and OUT.runs.jsonl, writes OUT.md and, where --summary names a file, its tables between the two comments that it has for them.
import "../help.ts";
import { readFileSync, writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { putBetween } from "../put-between.ts";
import { readRuns, readSamples } from "./cells.ts";
import { report } from "./report.ts";
import { summarize } from "./summary.ts";

/** @param out without its ending */
export function writePage(out: string): void {
  writeFileSync(`${out}.md`, report(readSamples(`${out}.csv`), readRuns(`${out}.runs.jsonl`)));
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: { out: { type: "string", default: "docs/benchmarks/migration" }, summary: { type: "string" } },
  });
  writePage(values.out);
  if (values.summary !== undefined) {
    const summary = summarize(readSamples(`${values.out}.csv`), readRuns(`${values.out}.runs.jsonl`));
    writeFileSync(values.summary, putBetween(readFileSync(values.summary, "utf8"), "bench/migration/page.ts", summary));
  }
}
