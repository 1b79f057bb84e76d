#!/usr/bin/env node
// @ts-check
// `npm test [-- VITEST ARGS…]`: prepares the machine, checks the code, runs every test, and ends with one line of counts.
// `npm run test:unit` is the same with --unit: npm packages and unit tests only; no root, no services.
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runInPlace } from "../packages/cli/bin/runtime.mjs";
import { withPinnedRuntime } from "./prepare/machine.mjs";
import { npmPackages } from "./prepare/npm-packages.mjs";
import { prepare, ROOT } from "./prepare/plan.mjs";
import { canAsk, say } from "./prepare/say.mjs";
import { stopSignal } from "./prepare/stop-signal.mjs";
import { runChecks } from "./test/checks.mjs";
import { addCounts, readCounts } from "./test/counts.mjs";

const VITEST = join(ROOT, "node_modules/.bin/vitest");
const isUnitOnly = process.argv.includes("--unit");
const vitestArgs = process.argv.slice(2).filter((arg) => arg !== "--unit" && arg !== "--yes");
const signal = stopSignal();
process.chdir(ROOT);
process.exitCode = (await main()) ? 0 : 1;

/** A failed check or preparation does not keep the tests from running: whoever mends it wants to see all of it at once. */
async function main() {
  const prepared = isUnitOnly
    ? await prepare({ isAgreed: true, withTests: false, steps: [npmPackages], signal })
    : await prepare({ isAgreed: !canAsk() || process.argv.includes("--yes"), withTests: true, signal });
  if (!existsSync(VITEST) || signal.aborted) return false;
  const failures = [...prepared.failed, ...(isUnitOnly ? [] : await runChecks(ROOT, signal))];
  const { passed, failed, skipped } = await runTests(isUnitOnly ? ["unit"] : ["unit", "service", "postgres", "api", "e2e"]);
  if (passed + failed === 0) failures.push("no test ran");
  if (failures.length > 0) say(`Failed before the tests: ${failures.join(", ")}`);
  console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`);
  return failures.length === 0 && failed === 0;
}

/**
 * One project after the other: the end-to-end tests measure time, and unit tests on the other core would disturb them.
 * @param {readonly string[]} projects
 */
async function runTests(projects) {
  const reports = mkdtempSync(join(tmpdir(), "aether-test-"));
  try {
    const counts = [];
    for (const project of projects) {
      if (signal.aborted) break;
      const report = join(reports, `${project}.json`);
      const reporters = ["./scripts/test/skip-reasons.mjs", "default", "json"].map((name) => `--reporter=${name}`);
      const args = ["run", "--project", project, "--passWithNoTests", ...reporters, `--outputFile.json=${report}`, ...vitestArgs];
      const exitCode = await runInPlace(VITEST, args, withPinnedRuntime(ROOT));
      const counted = readCounts(report);
      // An error outside every test (an unhandled rejection) fails the run but no test: it must not be lost in the counts.
      counts.push(exitCode !== 0 && counted.failed === 0 ? { ...counted, failed: 1 } : counted);
    }
    return addCounts(counts);
  } finally {
    rmSync(reports, { recursive: true, force: true });
  }
}
