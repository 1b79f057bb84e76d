// @ts-check
// Which Node runs us. The repository pins one (the npm packages node-linux-*), because a machine's own is often older than what the code needs.
// Plain JavaScript of Node 18, since it runs before that is settled.
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { constants } from "node:os";
import { join } from "node:path";

const LOWEST = /** @type {const} */ ([22, 18]);

/** True where this process itself is new enough. */
export function isRuntimeNewEnough() {
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
  return major > LOWEST[0] || (major === LOWEST[0] && minor >= LOWEST[1]);
}

/**
 * The runtime to use: the pinned one, else this one where it will do.
 * @param {string} root the clone @returns {string | undefined}
 */
export function findRuntime(root) {
  const pinned = join(root, "node_modules/.bin/node");
  if (existsSync(pinned)) return pinned;
  return isRuntimeNewEnough() ? process.execPath : undefined;
}

/** What to say when there is none. */
export const NO_RUNTIME = `Aether Guard needs Node ${LOWEST.join(".")} or newer, and this is ${process.versions.node}.
Run \`npm ci --ignore-scripts\` in the clone, which brings one for Linux on x64 and arm64, or install Node 24 (https://nodejs.org).`;

/**
 * Runs a program in our place: same terminal, our signals handed on, its exit code as ours (128 + N after signal N, as a shell has it).
 * @param {string} command @param {readonly string[]} args @param {NodeJS.ProcessEnv} [env]
 * @returns {Promise<number>}
 */
export function runInPlace(command, args, env = process.env) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: "inherit", env });
    // A terminal's Ctrl-C reaches the child by itself; handed on as well it would look like a second, impatient one.
    const handOn = (/** @type {NodeJS.Signals} */ name) => void (name === "SIGINT" && process.stdin.isTTY ? undefined : child.kill(name));
    const names = /** @type {const} */ (["SIGINT", "SIGTERM", "SIGHUP"]);
    for (const name of names) process.on(name, handOn);
    const settle = () => {
      for (const name of names) process.off(name, handOn);
    };
    child.once("error", (cause) => {
      settle();
      reject(cause);
    });
    child.once("exit", (code, signalName) => {
      settle();
      resolve(code ?? 128 + (signalName ? constants.signals[signalName] : 0));
    });
  });
}
