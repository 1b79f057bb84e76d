// @ts-check
// The preparation of a machine: look at everything, say what is missing and what will be done, ask, do it. Idempotent, and safe to kill.
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "./build.mjs";
import { criu } from "./criu.mjs";
import { withLock } from "./lock.mjs";
import { readMachine } from "./machine.mjs";
import { nativeProgram } from "./native-program.mjs";
import { npmPackages } from "./npm-packages.mjs";
import { pipeLimits } from "./pipe-limits.mjs";
import { StepError } from "./run.mjs";
import { ask, canAsk, say, seconds } from "./say.mjs";
import { systemPackages } from "./system-packages.mjs";

/** The clone that this script lies in. */
export const ROOT = join(dirname(fileURLToPath(import.meta.url)), "../..");

/** In the order in which they need each other. @type {readonly import("./step.mjs").Step[]} */
const STEPS = [npmPackages, build, systemPackages, criu, nativeProgram, pipeLimits];

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
  const open = seen.filter(({ facts }) => facts.state === "missing");
  const toAskAbout = open.filter(({ step }) => step !== build);
  tell(seen, toAskAbout);

  const mustAsk = toAskAbout.length > 0 && !isAgreed && process.env.CI !== "true";
  if (mustAsk && !canAsk()) say("No terminal to ask on: nothing is installed. Say --yes to install.");
  const mayInstall = !mustAsk || (canAsk() && (await ask("Do this now?", signal)));

  /** @type {string[]} */
  const failed = [];
  const notDone = new Set(seen.filter(({ facts }) => facts.state === "blocked").map(({ step }) => step));
  for (const { step } of open) {
    const isAllowed = mayInstall || step === build;
    const isPossible = step !== build || !notDone.has(npmPackages);
    if (!isAllowed || !isPossible) notDone.add(step);
    else if (!(await carryOut(step, context))) {
      notDone.add(step);
      failed.push(step.name);
    }
    if (signal.aborted) break;
  }
  const stopping = steps.filter((step) => step.isRequired && notDone.has(step));
  const summary =
    stopping.length > 0
      ? `Cannot go on without: ${stopping.map((step) => step.name).join(", ")}`
      : notDone.size > 0
        ? "Prepared, but for what is said above"
        : "Prepared";
  say(`${summary} (${seconds(Date.now() - startedAt)}).`);
  return { failed, canGoOn: stopping.length === 0 && !signal.aborted };
}

/** @param {readonly { step: import("./step.mjs").Step, facts: import("./step.mjs").Facts }[]} seen @param {readonly { step: import("./step.mjs").Step, facts: import("./step.mjs").Facts }[]} todo */
function tell(seen, todo) {
  for (const { step, facts } of seen) {
    if (facts.state !== "blocked") continue;
    say(`✗ ${step.name}: ${facts.found}\n    needed for: ${step.why}\n    how to get it: ${facts.getIt}`);
  }
  if (todo.length === 0) return;
  say("Missing on this machine, and what will be done:");
  for (const { step, facts } of todo) say(`  ${step.name}: ${facts.found}\n    -> ${facts.plan}`);
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
 * @param {import("./step.mjs").Step} step @param {import("./step.mjs").Context} context @returns {Promise<boolean>} whether it is done
 */
async function carryOut(step, context) {
  const startedAt = Date.now();
  const lock = step.changes === "clone" ? join(context.root, ".cache/prepare.lock") : "/run/lock/aether-prepare.lock";
  try {
    await withLock(lock, context.signal, async (lockFd) => {
      if ((await step.look(context)).state !== "missing") return;
      await step.do?.(context, lockFd);
      const after = await step.look(context);
      if (step !== build && after.state === "missing") throw new StepError(`done, and still: ${after.found}`, { next: "report this" });
    });
    if (step !== build) say(`✓ ${step.name} (${seconds(Date.now() - startedAt)})`);
    return true;
  } catch (error) {
    if (!(error instanceof StepError)) throw error;
    say(`✗ ${step.name}: ${error.message}`);
    if (error.next) say(`    next: ${error.next}`);
    return false;
  }
}
