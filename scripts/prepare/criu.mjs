// @ts-check
// A CRIU that fits the running kernel: the one that is installed, else the distribution's, else Debian's newest in a prefix of its own.
import { join } from "node:path";
import { candidateVersion, installPackages, updateLists } from "./apt.mjs";
import { installPrivateCriu } from "./criu-private.mjs";
import { criuNeededBy, isAtLeast, parseVersion } from "./criu-version.mjs";
import { findCommand, isExecutable } from "./machine.mjs";
import { run } from "./run.mjs";

/** @type {import("./step.mjs").Step} */
export const criu = {
  name: "CRIU",
  why: "checkpoints and restores the processes of a workload",
  isRequired: false,
  changes: "machine",
  async look({ machine, prefix, signal }) {
    if (!machine.isLinux) return { state: "blocked", found: "CRIU exists for Linux only", getIt: "use a Linux machine or a virtual one" };
    const need = criuNeededBy(machine.kernel);
    const installed = await installedCrius(prefix, signal);
    const fitting = installed.find(({ version }) => version !== undefined && isAtLeast(version, need.criu));
    if (fitting) return { state: "done", found: `${fitting.path}, ${fitting.says}` };
    const unfit = installed.map(({ path, says }) => `${path} is ${says}`).join(", ") || "none installed";
    const found = `kernel ${machine.kernel} needs CRIU ${need.criu.join(".")} or newer (${need.because}): ${unfit}`;
    if (!machine.hasApt) return { state: "blocked", found, getIt: "https://criu.org/Installation, with `criu` in PATH" };
    if (!machine.isRoot) return { state: "blocked", found, getIt: "sudo npm run prepare:machine -- --yes" };
    return {
      state: "missing",
      found,
      plan: `the distribution's where it is new enough, else Debian forky's unpacked into ${join(prefix, "criu")}`,
    };
  },
  async do({ machine, prefix, signal }, lockFd) {
    const need = criuNeededBy(machine.kernel);
    let candidate = await candidateVersion("criu", signal);
    if (candidate === undefined && !(await hasLists(signal))) {
      await updateLists(signal, lockFd);
      candidate = await candidateVersion("criu", signal);
    }
    const offered = candidate === undefined ? undefined : parseVersion(candidate);
    if (offered && isAtLeast(offered, need.criu)) await installPackages([{ name: "criu" }], signal, lockFd);
    else await installPrivateCriu(prefix, need.criu, signal, lockFd);
  },
};

/** @param {string} prefix @param {AbortSignal} signal */
async function installedCrius(prefix, signal) {
  const paths = [join(prefix, "criu/bin/criu"), findCommand("criu")].filter((path) => path !== undefined && isExecutable(path));
  return Promise.all([...new Set(paths)].map((path) => readVersion(/** @type {string} */ (path), signal)));
}

/** @param {string} path @param {AbortSignal} signal */
async function readVersion(path, signal) {
  try {
    const { stdout } = await run(path, ["--version"], { deadlineMs: 10_000, signal });
    return { path, version: parseVersion(stdout), says: stdout.split("\n", 1)[0] ?? "" };
  } catch (cause) {
    return { path, version: undefined, says: `not able to start (${cause instanceof Error ? cause.message.split("\n", 1)[0] : cause})` };
  }
}

/** A machine image often comes without any package list: then "no candidate" means nothing. @param {AbortSignal} signal */
async function hasLists(signal) {
  return (await candidateVersion("runc", signal)) !== undefined;
}
