// @ts-check
// Counts from vitest's JSON report, for the one plain line that a person and a CI can both read.
import { readFileSync } from "node:fs";

/** @typedef {{ passed: number, failed: number, skipped: number }} Counts */
/** @typedef {{ testResults: { status: string, assertionResults: { status: string }[] }[] }} Report  the part of it that is used */

/**
 * A file that could not even be loaded counts as one failure, and so does a run that left no report: neither may look like "0 failed".
 * @param {string} path of the report @returns {Counts}
 */
export function readCounts(path) {
  /** @type {Counts} */
  const counts = { passed: 0, failed: 0, skipped: 0 };
  /** @type {Report} */
  let report;
  try {
    report = JSON.parse(readFileSync(path, "utf8"));
  } catch {
    return { ...counts, failed: 1 };
  }
  for (const file of report.testResults) {
    const before = counts.failed;
    for (const { status } of file.assertionResults) counts[status === "passed" || status === "failed" ? status : "skipped"]++;
    if (file.status === "failed" && counts.failed === before) counts.failed++;
  }
  return counts;
}

/** @param {readonly Counts[]} all @returns {Counts} */
export function addCounts(all) {
  const sum = (/** @type {keyof Counts} */ key) => all.reduce((total, each) => total + each[key], 0);
  return { passed: sum("passed"), failed: sum("failed"), skipped: sum("skipped") };
}
