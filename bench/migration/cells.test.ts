import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { cellsOf, gridOf, keepSample, missingOf, phasesOf, readSamples, type Sample } from "./cells.ts";

let dir = "";
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "aether-bench-"));
});
afterEach(() => rmSync(dir, { recursive: true }));

const times = { freeze_ms: "80.0", gap_ms: "81.0", before_ms: "3.0", safe_ms: "500.0", total_ms: "900.0", worst_after_ms: "2.0" };
const counts = {
  nth: "1",
  over_50_ms_before: "0",
  over_50_ms_after: "0",
  cpu_s: "1.0",
  sent_bytes: "1.0",
  link_bytes_s: "NaN",
  wrong: "0",
};
const where = { run: "2026-01-02T03:04:05", at: "2026-01-02T03:04:09Z", memory_mb: "16", dirty_mb_s: "50", link_mbit_s: "0" };
const sample: Sample = { ...times, ...counts, ...where, method: "aether-pre-copy", phases: "freeze.dump=20.0;commit=6.5", error: "" };

it("a move is read back as it was kept, and what an error says does not break its line", () => {
  const file = join(dir, "grid.csv");
  expect(readSamples(file)).toEqual([]);
  keepSample(file, sample);
  keepSample(file, { ...sample, error: "it broke, and\nmore" });
  expect(readSamples(file)).toEqual([sample, { ...sample, error: "it broke  and more" }]);
  expect([...phasesOf(sample)]).toEqual([
    ["freeze.dump", 20],
    ["commit", 6.5],
  ]);
});

it("moves of another program's columns are not taken for its own", () => {
  const file = join(dir, "old.csv");
  writeFileSync(file, "memory_mb,freeze_ms\n16,80\n");
  expect(() => readSamples(file)).toThrow("has other columns");
});

it("all that is done with one memory is done together, and shown without a limit of the link first", () => {
  expect(gridOf("16,256", "0", "0,1000").map(({ memoryMb, linkMbit }) => [memoryMb, linkMbit])).toEqual([
    [16, 0],
    [16, 1000],
    [256, 0],
    [256, 1000],
  ]);
  const some = [{ ...sample, link_mbit_s: "1000" }, { ...sample, memory_mb: "256" }, sample, sample];
  expect(cellsOf(some).map(({ memoryMb, linkMbit }) => [memoryMb, linkMbit])).toEqual([
    [16, 0],
    [256, 0],
    [16, 1000],
  ]);
});

it("says what of the whole grid there is too little of", () => {
  const missing = missingOf(Array.from({ length: 14 }, () => sample));
  expect(missing[0]).toBe("aether-pre-copy, fewer than 15 moves: 16 MB, 50 MB/s (14).");
  expect(missing[1]).toBe(
    "aether-pre-copy, not at all: 0 MB/s; 50 MB/s with 256 and 1024 and 4096 MB; 200 MB/s; 0 MB/s over 1000 Mbit/s; 50 MB/s over 1000 Mbit/s; 200 MB/s over 1000 Mbit/s.",
  );
  expect(missing.at(-1)).toBe("podman, not at all: anywhere.");
  expect(missingOf(Array.from({ length: 15 }, () => sample))[0]).toMatch(/not at all/);
});
