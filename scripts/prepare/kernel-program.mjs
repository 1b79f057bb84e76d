// @ts-check
// native/'s second program, which holds eBPF programs for the kernel. It wants a compiler of its own, which is large: it is fetched from the
// machine's own apt sources only, and everything works without it (blackouts are then measured by the agent's clock, packets are held by TUN or nft).
import { existsSync } from "node:fs";
import { join } from "node:path";
import { installPackages } from "./apt.mjs";
import { findCommand, isReadable } from "./machine.mjs";
import { run, StepError } from "./run.mjs";

const PACKAGES = [
  { name: "clang", isThere: () => findCommand("clang") !== undefined },
  { name: "libbpf-dev", isThere: () => isReadable("/usr/include/bpf/libbpf.h") },
  { name: "libelf-dev", isThere: () => isReadable("/usr/include/gelf.h") },
  { name: "zlib1g-dev", isThere: () => isReadable("/usr/include/zlib.h") },
];

/** @type {import("./step.mjs").Step} */
export const kernelProgram = {
  name: "kernel program",
  why: "measures blackouts, resets and retransmissions in the kernel, and drops packets with an answer where there is no TUN device",
  isRequired: false,
  changes: "machine",
  async look({ root, machine, signal }) {
    const folder = join(root, "native");
    if (!existsSync(join(folder, "src/bpf"))) return { state: "done", found: "nothing to compile in this version" };
    const missing = PACKAGES.filter((each) => !each.isThere()).map((each) => each.name);
    const names = missing.join(" ");
    if (!machine.isLinux) return { state: "blocked", found: "it exists for Linux only", getIt: "use a Linux machine or a virtual one" };
    if (missing.length > 0 && !machine.hasApt)
      return {
        state: "blocked",
        found: `missing: ${names}`,
        getIt: `install clang, libbpf, libelf and zlib with their headers and static libraries, then make -C native`,
      };
    if (missing.length > 0 && !machine.isRoot)
      return { state: "blocked", found: `missing: ${names}`, getIt: `sudo apt-get install --no-install-recommends ${names}` };
    if (missing.length > 0) return { state: "missing", found: `missing: ${names}`, plan: `apt-get install ${names}, make -C native` };
    const { exitCode } = await run("make", ["--question", "-C", folder], { deadlineMs: 20_000, signal, exitCodes: [0, 1, 2] });
    if (exitCode === 0 && existsSync(join(folder, "build/aether-bpf")))
      return { state: "done", found: "native/build/aether-bpf is newer than its sources" };
    return { state: "missing", found: "not compiled, or older than its sources", plan: "make -C native" };
  },
  async do({ root, signal }, lockFd) {
    const missing = PACKAGES.filter((each) => !each.isThere());
    if (missing.length > 0) await installPackages(missing, signal, lockFd);
    await run("make", ["-C", join(root, "native")], { label: "make -C native", deadlineMs: 180_000, signal, lockFd }).catch((cause) => {
      throw new StepError(cause.message, { cause, next: "everything works without it; report this with `clang --version`" });
    });
  },
};
