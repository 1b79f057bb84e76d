// @ts-check
// What this machine is, read once and cheaply (no child process): the steps decide on it.
import { accessSync, constants, readFileSync, statSync } from "node:fs";
import { release } from "node:os";
import { delimiter, join } from "node:path";

/**
 * @typedef {object} Machine
 * @property {boolean} isLinux
 * @property {boolean} isRoot
 * @property {boolean} hasApt              Debian, Ubuntu, or one of their children, with apt-get and dpkg
 * @property {string} distribution         as it names itself
 * @property {string} kernel               `uname -r`
 */

/** @returns {Machine} */
export function readMachine() {
  const names = readOsRelease();
  const family = `${names.ID ?? ""} ${names.ID_LIKE ?? ""}`.split(" ");
  return {
    isLinux: process.platform === "linux",
    isRoot: process.getuid?.() === 0,
    hasApt:
      family.some((name) => name === "debian" || name === "ubuntu") && ["apt-get", "dpkg"].every((name) => findCommand(name) !== undefined),
    distribution: names.PRETTY_NAME ?? process.platform,
    kernel: release(),
  };
}

/**
 * The absolute path of a program in PATH, or in the system folders that an ordinary user's PATH often leaves out.
 * @param {string} name @returns {string | undefined}
 */
export function findCommand(name) {
  const folders = [...(process.env.PATH ?? "").split(delimiter), "/usr/local/sbin", "/usr/sbin", "/sbin"];
  return folders
    .filter((folder) => folder.startsWith("/") && !folder.endsWith("node_modules/.bin"))
    .map((folder) => join(folder, name))
    .find(isExecutable);
}

/** @param {string} path */
export function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false; // absent or not ours to run: both mean that it cannot be used
  }
}

/** @param {string} path */
export function isReadable(path) {
  try {
    accessSync(path, constants.R_OK);
    return true;
  } catch {
    return false;
  }
}

/** True where this process may exceed a user's limits (pipes): CAP_SYS_RESOURCE is bit 24 of the effective set. */
export function hasCapSysResource() {
  const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1] ?? "0";
  return (BigInt(`0x${effective}`) >> 24n) % 2n === 1n;
}

/** The environment for this clone's own tools: the pinned runtime first. @param {string} root */
export function withPinnedRuntime(root) {
  return { ...process.env, PATH: `${join(root, "node_modules/.bin")}${delimiter}${process.env.PATH ?? ""}` };
}

/** @returns {Record<string, string>} */
function readOsRelease() {
  try {
    const pairs = [...readFileSync("/etc/os-release", "utf8").matchAll(/^(\w+)="?([^"\n]*)"?$/gm)];
    return Object.fromEntries(pairs.map((pair) => [pair[1], pair[2]]));
  } catch {
    return {}; // not Linux, or a Linux that does not name itself: treated as one we cannot install on
  }
}
