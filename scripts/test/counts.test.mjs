// @ts-check
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { addCounts, readCounts } from "./counts.mjs";

const folder = mkdtempSync(join(tmpdir(), "aether-counts-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** @param {unknown} report */
function counted(report) {
  const path = join(folder, "report.json");
  writeFileSync(path, typeof report === "string" ? report : JSON.stringify(report));
  return readCounts(path);
}
const tests = (/** @type {string[]} */ ...states) => states.map((status) => ({ status }));

it("counts each state; todo and pending are skips", () => {
  const file = { status: "failed", assertionResults: tests("passed", "passed", "failed", "skipped", "todo", "pending") };
  expect(counted({ testResults: [file] })).toEqual({ passed: 2, failed: 1, skipped: 3 });
});

it("counts a file that could not be loaded as a failure", () => {
  expect(counted({ testResults: [{ status: "failed", assertionResults: [] }] })).toEqual({ passed: 0, failed: 1, skipped: 0 });
});

it("counts a report that is missing or cut short as a failure", () => {
  expect(readCounts(join(folder, "absent.json")).failed).toBe(1);
  expect(counted('{"testResults": [').failed).toBe(1);
});

it("adds up", () => {
  expect(
    addCounts([
      { passed: 1, failed: 0, skipped: 2 },
      { passed: 3, failed: 1, skipped: 0 },
    ]),
  ).toEqual({ passed: 4, failed: 1, skipped: 2 });
});
