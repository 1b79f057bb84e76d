// @ts-check
// native/ compiled by its own Makefile, which knows best whether anything is older than its sources.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { findCommand } from "./machine.mjs";
import { run, StepError } from "./run.mjs";

/** @type {import("./step.mjs").Step} */
export const nativeProgram = {
  name: "native program",
  why: "holds packets and keeps a workload's output while its agent is away",
  isRequired: false,
  changes: "clone",
  async look({ root, machine, signal }) {
    const folder = join(root, "native");
    if (!existsSync(join(folder, "Makefile"))) return { state: "done", found: "nothing to compile in this version" };
    if (!machine.isLinux) return { state: "blocked", found: "it exists for Linux only", getIt: "use a Linux machine or a virtual one" };
    const missing = ["make", "gcc"].filter((name) => findCommand(name) === undefined);
    if (missing.length > 0 && !(machine.isRoot && machine.hasApt)) {
      return { state: "blocked", found: `${missing.join(" and ")} missing`, getIt: "install the system packages above" };
    }
    if (missing.length === 0) {
      // 0: nothing to do, 1: something is older than its source, 2: the Makefile itself is wrong, which `do` then reports with its reason.
      const { exitCode } = await run("make", ["--question", "-C", folder, "build/aether-native"], {
        deadlineMs: 20_000,
        signal,
        exitCodes: [0, 1, 2],
      });
      if (exitCode === 0) return { state: "done", found: "native/build/aether-native is newer than its sources" };
    }
    return { state: "missing", found: "not compiled, or older than its sources", plan: "make -C native" };
  },
  async do({ root, signal }, lockFd) {
    await run("make", ["-C", join(root, "native"), "build/aether-native"], {
      label: "make -C native",
      deadlineMs: 180_000,
      signal,
      lockFd,
    }).catch((cause) => {
      throw new StepError(cause.message, { cause, next: "mend what the compiler says above, or report it with `gcc --version`" });
    });
  },
};
