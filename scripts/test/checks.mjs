// @ts-check
// What a reader could be spared in review: format, import rules, types, dead code, the shape of the contract. `npm run check` is the same list.
import { join } from "node:path";
import { withPinnedRuntime } from "../prepare/machine.mjs";
import { run, StepError } from "../prepare/run.mjs";
import { say, seconds } from "../prepare/say.mjs";

const CHECKS = [
  ["biome", "check", "."],
  ["tsc", "-b"],
  ["tsc", "-p", "tsconfig.test.json"],
  ["knip"],
  ["buf", "lint"],
  ["node", "scripts/test/schema-numbers.mjs"],
];

/**
 * Runs all of them, whatever the first ones say.
 * @param {string} root @param {AbortSignal} signal @returns {Promise<string[]>} the names of those that failed
 */
export async function runChecks(root, signal) {
  const failed = [];
  for (const [tool = "", ...args] of CHECKS) {
    const label = [tool, ...args].join(" ");
    const startedAt = Date.now();
    try {
      await run(join(root, "node_modules/.bin", tool), args, {
        label,
        deadlineMs: 300_000,
        signal,
        cwd: root,
        env: withPinnedRuntime(root),
        shownLines: 60,
      });
      say(`✓ ${label} (${seconds(Date.now() - startedAt)})`);
    } catch (error) {
      if (!(error instanceof StepError)) throw error;
      failed.push(label);
      say(`✗ ${error.message}`);
    }
    if (signal.aborted) break;
  }
  return failed;
}
