// @ts-check
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { hasLeftoverPolicy, installPackages, removeLeftoverPolicy } from "./apt.mjs";
import { findCommand, isExecutable, isReadable } from "./machine.mjs";
import { wantedPackages } from "./packages.mjs";

/** @type {import("./step.mjs").Step} */
export const systemPackages = {
  name: "system packages",
  why: "workloads run in runc, in their own network namespaces",
  isRequired: false,
  changes: "machine",
  look({ machine, withTests }) {
    const missing = missingPackages(withTests);
    if (missing.length === 0) {
      if (machine.isRoot && hasLeftoverPolicy()) {
        return { state: "missing", found: "a killed preparation left its ban on service starts", plan: "remove it" };
      }
      return {
        state: "done",
        found: wantedPackages(withTests)
          .map((each) => each.name)
          .join(" "),
      };
    }
    const names = missing.map((each) => each.name).join(" ");
    const found = `missing: ${missing.map((each) => `${each.name} (${each.why})`).join(", ")}`;
    if (!machine.isLinux) return { state: "blocked", found, getIt: "workloads run on Linux only: use a Linux machine or a virtual one" };
    if (!machine.hasApt) return { state: "blocked", found, getIt: `install with the package manager of ${machine.distribution}: ${names}` };
    if (!machine.isRoot) return { state: "blocked", found, getIt: `sudo apt-get install --no-install-recommends ${names}` };
    return { state: "missing", found, plan: `apt-get install ${names} (no service is started or enabled)` };
  },
  async do({ withTests, signal }, lockFd) {
    const missing = missingPackages(withTests);
    if (missing.length > 0) await installPackages(missing, signal, lockFd);
    removeLeftoverPolicy();
  },
};

/** @param {boolean} withTests */
const missingPackages = (withTests) => wantedPackages(withTests).filter((each) => !isThere(each));

/** @param {import("./packages.mjs").SystemPackage} each */
function isThere({ command, folders }) {
  if (command.startsWith("/")) return isReadable(command);
  return (
    findCommand(command) !== undefined ||
    (folders !== undefined && versionsIn(folders).some((dir) => isExecutable(join(dir, "bin", command))))
  );
}

/** @param {string} folder */
function versionsIn(folder) {
  try {
    return readdirSync(folder).map((name) => join(folder, name));
  } catch {
    return []; // no folder: nothing of it is installed
  }
}
