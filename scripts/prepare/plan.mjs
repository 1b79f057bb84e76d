// @ts-check
// The preparation of a machine: look at everything, say what is missing and what will be done, ask, do it. Idempotent, and safe to kill.
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "./build.mjs";
import { criu } from "./criu.mjs";
import { patchedCriu } from "./criu-patched.mjs";
import { dashboard } from "./dashboard.mjs";
import { emptyDatabase } from "./empty-database.mjs";
import { kernelProgram } from "./kernel-program.mjs";
import { withLock } from "./lock.mjs";
import { readMachine } from "./machine.mjs";
import { nativeProgram } from "./native-program.mjs";
import { npmPackages } from "./npm-packages.mjs";
import { pipeLimits } from "./pipe-limits.mjs";
import { StepError } from "./run.mjs";
import { ask, canAsk, say, seconds } from "./say.mjs";
import { schemathesis } from "./schemathesis.mjs";
import { systemPackages } from "./system-packages.mjs";

/** The clone that this script lies in. */
export const ROOT = join(dirname(fileURLToPath(import.meta.url)), "../..");

/** In the order in which they need each other. @type {readonly import("./step.mjs").Step[]} */
const STEPS = [
  npmPackages,
  build,
  dashboard,
  emptyDatabase,
  systemPackages,
  patchedCriu,
  criu,
  nativeProgram,
  kernelProgram,
  pipeLimits,
  schemathesis,
];

/**
 * @typedef {object} Outcome
 * @property {readonly string[]} failed      steps that were tried and failed
 * @property {boolean} canGoOn               every required step is done
 */

/**
 * @param {object} options
 * @param {boolean} options.isAgreed       do not ask
 * @param {boolean} options.withTests      also what only the tests need
 * @param {readonly import("./step.mjs").Step[]} [options.steps]
 * @param {AbortSignal} options.signal
 * @returns {Promise<Outcome>}
 */
export async function prepare({ isAgreed, withTests, steps = STEPS, signal }) {
  const startedAt = Date.now();
  const prefix = process.env.AETHER_PREFIX || "/opt/aether";
  /** @type {import("./step.mjs").Context} */
  const context = { root: ROOT, prefix, withTests, machine: readMachine(), signal };
  const seen = await Promise.all(steps.map(async (step) => ({ step, facts: await lookAt(step, context) })));
  tell(seen);
  const isAllowed = isAgreed || process.env.CI === "true" || !seen.some(({ facts }) => facts.state === "missing") || (await askToGoOn());

  /** @type {string[]} */
  const failed = [];
  /** @type {Set<import("./step.mjs").Step>} */
  const notDone = new Set();
  const lacksRequired = () => steps.some((step) => step.isRequired && notDone.has(step));
  for (const { step, facts } of seen) {
    if (facts.state === "done") continue;
    const isTried = facts.state === "routine" ? !lacksRequired() : facts.state === "missing" && isAllowed;
    if (isTried && !signal.aborted && (await carryOut(step, facts, context))) continue;
    notDone.add(step);
    if (isTried) failed.push(step.name);
  }
  const required = steps.filter((step) => step.isRequired && notDone.has(step)).map((step) => step.name);
  const result =
    required.length > 0
      ? `Cannot go on without: ${required.join(", ")}`
      : `Prepared${notDone.size > 0 ? ", but for what is said above" : ""}`;
  say(`${signal.aborted ? "Stopped" : result} (${seconds(Date.now() - startedAt)}).`);
  return { failed, canGoOn: required.length === 0 && !signal.aborted };
}

async function askToGoOn() {
  if (canAsk()) return ask("Do this now?");
  say("No terminal to ask on: nothing is installed. Say --yes to install.");
  return false;
}

/** @typedef {{ step: import("./step.mjs").Step, facts: import("./step.mjs").Facts }} Seen */

/** @param {readonly Seen[]} seen */
function tell(seen) {
  for (const { step, facts } of seen) {
    if (facts.state === "blocked") say(`✗ ${step.name}: ${facts.found}\n    needed for: ${step.why}\n    how to get it: ${facts.getIt}`);
  }
  const missing = seen.filter(({ facts }) => facts.state === "missing");
  if (missing.length > 0) say("Missing on this machine, and what will be done:");
  for (const { step, facts } of missing) say(`  ${step.name}: ${facts.found}\n    -> ${facts.plan}`);
}

/**
 * A step that cannot even look stands in its own way only.
 * @param {import("./step.mjs").Step} step @param {import("./step.mjs").Context} context @returns {Promise<import("./step.mjs").Facts>}
 */
async function lookAt(step, context) {
  try {
    return await step.look(context);
  } catch (error) {
    if (!(error instanceof StepError)) throw error;
    return { state: "blocked", found: error.message, getIt: error.next ?? "see the message" };
  }
}

/**
 * Does one step under its lock, after looking again: another preparation may have done it while this one waited.
 * @param {import("./step.mjs").Step} step @param {import("./step.mjs").Facts} facts @param {import("./step.mjs").Context} context
 * @returns {Promise<boolean>} whether it is done
 */
async function carryOut(step, facts, context) {
  const startedAt = Date.now();
  const lock = step.changes === "clone" ? join(context.root, ".cache/prepare.lock") : "/run/lock/aether-prepare.lock";
  try {
    await withLock(lock, context.signal, async (lockFd) => {
      if ((await step.look(context)).state === "done") return;
      await step.do?.(context, lockFd);
      const after = await step.look(context);
      if (after.state === "missing") throw new StepError(`done, and still: ${after.found}`, { next: "report this" });
    });
    if (facts.state !== "routine") say(`✓ ${step.name} (${seconds(Date.now() - startedAt)})`);
    return true;
  } catch (error) {
    if (!(error instanceof StepError)) throw error;
    say(`✗ ${step.name}: ${error.message}`);
    if (error.next) say(`    next: ${error.next}`);
    return false;
  }
}
