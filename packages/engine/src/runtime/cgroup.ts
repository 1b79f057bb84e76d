// A workload's cgroup, on version 1, version 2 or both: freeze, thaw, kill, count. The freezer stops every task at one moment and keeps it
// stopped whatever happens to us; criu is told to leave it as it found it.
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { mkdir, rmdir } from "node:fs/promises";
import { join } from "node:path";
import { fault } from "@aether/contract";
import { isErrno, sleep, until } from "@aether/kit";
import type { Host } from "../host.ts";
import { containerId } from "../host.ts";

const root = "/sys/fs/cgroup";

/** As runc names it in config.json. */
export const cgroupPath = (host: Host, workload: string): string => `/aether/${containerId(host, workload)}`;

// The kernel's own files are read and written at once: there is no disk to wait for, and the detour over threads is in the freeze several times.
const isThere = existsSync;

/** Every hierarchy's folder of the workload (one on cgroup v2). */
export async function cgroupDirs(host: Host, workload: string): Promise<string[]> {
  const path = cgroupPath(host, workload);
  if (isThere(join(root, "cgroup.controllers"))) return [join(root, path)];
  const names = readdirSync(root, { withFileTypes: true });
  return names.filter((entry) => entry.isDirectory()).map((entry) => join(root, entry.name, path));
}

/** The folder that freezes: v1's freezer hierarchy, else cgroup v2. */
export async function freezerDir(host: Host, workload: string): Promise<string> {
  const path = cgroupPath(host, workload);
  return isThere(join(root, "freezer")) ? join(root, "freezer", path) : join(root, path);
}

/** Makes the folders that runc would make, for a restore. */
export async function makeCgroups(host: Host, workload: string, memoryLimitBytes: number): Promise<string[]> {
  const dirs = await cgroupDirs(host, workload);
  for (const dir of dirs) {
    await mkdir(dir, { recursive: true });
    for (const name of ["cpuset.cpus", "cpuset.mems"]) inherit(dir, name);
    if (memoryLimitBytes > 0 && isThere(join(dir, "memory.limit_in_bytes")))
      writeFileSync(join(dir, "memory.limit_in_bytes"), String(memoryLimitBytes));
    if (memoryLimitBytes > 0 && isThere(join(dir, "memory.max"))) writeFileSync(join(dir, "memory.max"), String(memoryLimitBytes));
  }
  return dirs;
}

/**
 * Bounds how many processes and threads the workload may have; undefined: none. For a restore only when criu has left: it works from within these
 * cgroups, and what it starts beside the workload's own tasks must not fail at the workload's limit.
 */
export async function limitPids(host: Host, workload: string, limit: number | undefined): Promise<void> {
  if (limit === undefined) return;
  const files = (await cgroupDirs(host, workload)).map((dir) => join(dir, "pids.max")).filter(isThere);
  for (const file of files) writeFileSync(file, String(limit));
  if (files.length === 0) host.options.log.warn({ workload, limit }, "cgroup.no_pids_controller");
}

/** A v1 cpuset takes no task before its sets are filled, parents first. */
function inherit(dir: string, name: string): void {
  for (const at of [join(dir, ".."), dir]) {
    if (!isThere(join(at, name)) || readFileSync(join(at, name), "utf8").trim() !== "") continue;
    writeFileSync(join(at, name), readFileSync(join(at, "..", name), "utf8"));
  }
}

/** Pids in the host's namespace, ascending; none when there is no cgroup. */
export async function pidsOf(host: Host, workload: string): Promise<number[]> {
  try {
    const text = readFileSync(join(await freezerDir(host, workload), "cgroup.procs"), "utf8");
    return text
      .split("\n")
      .filter(Boolean)
      .map(Number)
      .sort((a, b) => a - b);
  } catch (caught) {
    if (isErrno(caught, "ENOENT", "ENODEV")) return [];
    throw caught;
  }
}

/** Freezes and waits until the kernel says so. Throws CHECKPOINT_FAILED after 2 s (and thaws). */
export async function freeze(host: Host, workload: string): Promise<void> {
  const dir = await freezerDir(host, workload);
  const isV1 = isThere(join(dir, "freezer.state"));
  writeFileSync(join(dir, isV1 ? "freezer.state" : "cgroup.freeze"), isV1 ? "FROZEN" : "1");
  const startedMs = performance.now();
  for (;;) {
    const text = readFileSync(join(dir, isV1 ? "freezer.state" : "cgroup.events"), "utf8");
    if (isV1 ? text.trim() === "FROZEN" : /^frozen 1$/m.test(text)) return;
    if (performance.now() - startedMs > 2000) {
      await thaw(host, workload);
      throw fault("CHECKPOINT_FAILED", `${workload} did not freeze within 2 s: a task is in an uninterruptible wait`);
    }
    await sleep(1);
  }
}

/** Lets it run. Safe when it runs or is not there. */
export async function thaw(host: Host, workload: string): Promise<void> {
  const dir = await freezerDir(host, workload);
  const isV1 = isThere(join(dir, "freezer.state"));
  try {
    writeFileSync(join(dir, isV1 ? "freezer.state" : "cgroup.freeze"), isV1 ? "THAWED" : "0");
  } catch (caught) {
    if (!isErrno(caught, "ENOENT")) throw caught;
  }
}

/** SIGKILL to every task, then thaw: a frozen task dies on its way out of the kernel, before an instruction of its own. Waits until none is left. */
export async function killAll(host: Host, workload: string, signal: AbortSignal): Promise<void> {
  await until(
    `the processes of ${workload} to end`,
    5,
    10_000,
    async () => {
      const pids = await pidsOf(host, workload);
      for (const pid of pids) signalPid(pid, "SIGKILL");
      await thaw(host, workload);
      return pids.length === 0 ? true : undefined;
    },
    signal,
  );
}

/** Sends a signal; a process that has ended is no error. */
export function signalPid(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch (caught) {
    if (!isErrno(caught, "ESRCH")) throw caught;
  }
}

export async function removeCgroups(host: Host, workload: string): Promise<void> {
  for (const dir of await cgroupDirs(host, workload)) {
    try {
      await rmdir(dir);
    } catch (caught) {
      if (!isErrno(caught, "ENOENT", "ENOTDIR")) throw caught;
    }
  }
}
