// @ts-check
// Runs one outside command: argv only, a deadline, its whole process group ended when it is late or when we are told to stop, and an error
// that says what it said last. Nothing here goes through a shell.
import { spawn } from "node:child_process";
import { say, seconds, startProgress } from "./say.mjs";

/** Why a step could not be done, and what to do about it. */
export class StepError extends Error {
  /** @param {string} message @param {{ next?: string | undefined, cause?: unknown, output?: string, isFinal?: boolean }} [more] output: all that the command said; isFinal: trying again cannot help */
  constructor(message, { next, cause, output = "", isFinal = false } = {}) {
    super(message, { cause });
    this.name = "StepError";
    this.next = next;
    this.output = output;
    this.isFinal = isFinal;
  }
}

/**
 * @typedef {object} RunOptions
 * @property {number} deadlineMs
 * @property {AbortSignal} [signal]      ends the command: SIGTERM to its group, SIGKILL five seconds later
 * @property {string} [label]            shown while it runs for more than two seconds, and in its error; without one it runs unseen
 * @property {string} [cwd]
 * @property {NodeJS.ProcessEnv} [env]
 * @property {number | undefined} [lockFd]   inherited as fd 3, so that an orphan of ours keeps the lock until it ends (lock.mjs)
 * @property {number} [shownLines]        how much of its output an error shows, from the end; 12 if not given
 * @property {readonly number[]} [exitCodes]   those that are answers and not failures; 0 alone if not given
 */

/**
 * @param {string} command @param {readonly string[]} args @param {RunOptions} options
 * @returns {Promise<{ exitCode: number, stdout: string, output: string }>} `output` is both streams in the order they came
 * @throws {StepError} when it cannot be started, is late, is stopped, or ends with a code that is not expected
 */
export function run(command, args, { deadlineMs, signal, label, cwd, env, lockFd, shownLines = 12, exitCodes = [0] }) {
  const name = label ?? command;
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(new StepError(`${name}: stopped`));
    const child = spawn(command, args, {
      cwd,
      env: env ?? process.env,
      detached: true,
      stdio: ["ignore", "pipe", "pipe", ...(lockFd === undefined ? [] : [lockFd])],
    });
    let stdout = "";
    let output = "";
    /** @type {string | undefined} */
    let endedBecause;
    /** @type {NodeJS.Timeout | undefined} */
    let killTimer;
    const lastLine = () => output.trimEnd().split("\n").at(-1)?.trim().slice(0, 120) ?? "";
    const stopProgress = label ? startProgress(label, lastLine) : () => {};
    const end = (/** @type {string} */ why) => {
      endedBecause ??= why;
      killGroup(child.pid, "SIGTERM");
      killTimer ??= setTimeout(() => killGroup(child.pid, "SIGKILL"), 5_000);
    };
    const deadline = setTimeout(() => end(`not done after ${seconds(deadlineMs)}`), deadlineMs);
    const onAbort = () => end("stopped");
    signal?.addEventListener("abort", onAbort, { once: true });
    const settle = () => {
      stopProgress();
      clearTimeout(deadline);
      clearTimeout(killTimer);
      signal?.removeEventListener("abort", onAbort);
    };
    child.stdout?.setEncoding("utf8").on("data", (text) => {
      stdout += text;
      output += text;
    });
    child.stderr?.setEncoding("utf8").on("data", (text) => {
      output += text;
    });
    child.once("error", (cause) => {
      settle();
      reject(new StepError(`${name}: cannot start ${command}: ${cause.message}`, { cause }));
    });
    child.once("close", (code, signalName) => {
      settle();
      if (endedBecause === undefined && code !== null && exitCodes.includes(code)) return resolve({ exitCode: code, stdout, output });
      const what = endedBecause ?? (code === null ? `ended by ${signalName}` : `exit code ${code}`);
      reject(new StepError(`${name}: ${what}\n${tail(output, shownLines)}`.trimEnd(), { output }));
    });
  });
}

/**
 * Tries again where the network may be what failed.
 * @template T
 * @param {string} label @param {AbortSignal} signal @param {() => Promise<T>} attempt @param {readonly number[]} [waitsMs] between attempts
 * @returns {Promise<T>}
 */
export async function withRetry(label, signal, attempt, waitsMs = [2_000, 8_000]) {
  for (let tried = 0; ; tried++) {
    try {
      return await attempt();
    } catch (cause) {
      const waitMs = waitsMs[tried];
      if (waitMs === undefined || signal.aborted || (cause instanceof StepError && cause.isFinal)) throw cause;
      say(`  ${label} failed, again in ${seconds(waitMs)}: ${firstLine(cause)}`);
      await new Promise((resolve) => setTimeout(resolve, waitMs));
    }
  }
}

/** @param {unknown} cause */
export const firstLine = (cause) => (cause instanceof Error ? cause.message : String(cause)).split("\n", 1)[0] ?? "";

/** The last lines of an output, indented: enough to see the cause without a page of progress. @param {string} output @param {number} lines */
function tail(output, lines) {
  return output
    .trimEnd()
    .split("\n")
    .slice(-lines)
    .map((line) => `    ${line.trimEnd()}`)
    .join("\n");
}

/** @param {number | undefined} pid @param {NodeJS.Signals} signalName */
function killGroup(pid, signalName) {
  if (pid === undefined) return;
  try {
    process.kill(-pid, signalName);
  } catch (cause) {
    if (/** @type {NodeJS.ErrnoException} */ (cause).code !== "ESRCH") throw cause;
  }
}
