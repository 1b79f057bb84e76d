// Takes apart what a cloud left on the machine, after any death, from names and marks alone: processes, containers, cgroups, mounts, namespaces.
// Repeating it changes nothing. It touches only what carries the cloud's mark: the environment entry AETHER_CLOUD=DIR, a network namespace
// or cgroup that begins with its prefix, a mount below its directory.
import { existsSync, readdirSync, readFileSync, rmdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { isErrno, run, sleep } from "@aether/kit";
import { namesOf } from "../layout.ts";
import { closeFabric } from "../network/fabric.ts";
import { namespacesOf } from "../network/ip.ts";
import { listProcesses, type ProcessRef, type ProcessView, signalProcess } from "../supervisor/process.ts";

/** The mark in the environment of every process that a cloud starts. */
export const cloudMark = (dir: string) => ({ AETHER_CLOUD: dir });

export interface SweepScope {
  /** Names of namespaces and cgroups that go. */
  readonly isOurs: (name: string) => boolean;
  /** The machine's cable into the cloud, if it goes as well. */
  readonly hostLink?: string;
}

/** Everything of a cloud. */
export const wholeCloud = (prefix: string): SweepScope => ({ isOurs: namesOf(prefix), hostLink: `${prefix}-host` });

/**
 * Removes all of it; answers what was removed, for people.
 * @param processes recorded ones, that may not carry the mark any more.
 */
export async function sweepCloud(dir: string, scope: SweepScope, processes: readonly ProcessRef[]): Promise<string[]> {
  const removed: string[] = [];
  const canUseNamespaces = process.getuid?.() === 0;
  const inodes = canUseNamespaces ? await namespaceInodes(scope.isOurs) : new Set<string>();
  removed.push(...(await endAll(dir, scope.isOurs, inodes, processes)));
  removed.push(...removeCgroups(scope.isOurs));
  if (canUseNamespaces) {
    removed.push(...(await unmountBelow(dir)));
    removed.push(...(await removeImageFolders(scope.isOurs)));
    removed.push(...(await closeFabric(scope.isOurs, scope.hostLink)));
  }
  return removed;
}

/** SIGKILL to every process of the cloud and all that descend from one, until none is left. Frozen cgroups are thawed first: what is frozen does not die. */
async function endAll(dir: string, isOurs: NameRule, inodes: ReadonlySet<string>, recorded: readonly ProcessRef[]): Promise<string[]> {
  let count = 0;
  for (let round = 0; round < 20; round++) {
    thaw(isOurs);
    const victims = victimsAmong(listProcesses(), { mark: `AETHER_CLOUD=${dir}`, inodes, recorded, self: process.pid });
    if (victims.length === 0) break;
    if (round === 0) count = victims.length;
    for (const ref of victims) signalProcess(ref, "SIGKILL");
    await sleep(round < 5 ? 30 : 200);
  }
  return count === 0 ? [] : [`${count} ${count === 1 ? "process" : "processes"}`];
}

/** Which of these processes belong to the cloud. Exported for its test. */
export function victimsAmong(
  all: readonly ProcessView[],
  of: { mark: string; inodes: ReadonlySet<string>; recorded: readonly ProcessRef[]; self: number },
): ProcessRef[] {
  const parents = new Map(all.map((view) => [view.ref.pid, view.parentPid]));
  const spared = new Set<number>();
  for (let pid: number | undefined = of.self; pid !== undefined && pid > 1; pid = parents.get(pid)) spared.add(pid);
  const chosen = new Set(
    all
      .filter(
        ({ ref, environment, networkInode }) =>
          environment.includes(of.mark) ||
          of.inodes.has(networkInode) ||
          of.recorded.some((known) => known.pid === ref.pid && known.startTicks === ref.startTicks),
      )
      .map((view) => view.ref.pid)
      .filter((pid) => !spared.has(pid)),
  );
  const isDescendant = (pid: number): boolean => {
    for (let at = parents.get(pid), depth = 0; at !== undefined && at > 1 && depth < 64; at = parents.get(at), depth++) {
      if (chosen.has(at)) return true;
    }
    return false;
  };
  return all.filter(({ ref }) => !spared.has(ref.pid) && (chosen.has(ref.pid) || isDescendant(ref.pid))).map((view) => view.ref);
}

async function namespaceInodes(isOurs: NameRule): Promise<Set<string>> {
  const names = await namespacesOf(isOurs);
  return new Set(names.flatMap((name) => (existsSync(`/run/netns/${name}`) ? [String(statSync(`/run/netns/${name}`).ino)] : [])));
}

type NameRule = (name: string) => boolean;

const cgroupRoot = "/sys/fs/cgroup";

/** Cgroups whose own name is taken by the rule, and all below them, in every hierarchy, deepest first. */
function cgroupsOf(isOurs: NameRule): string[] {
  const found: string[] = [];
  const walk = (dir: string, depth: number, isBelowOurs: boolean) => {
    for (const entry of listDirectories(dir)) {
      const takes = isBelowOurs || isOurs(entry);
      if (depth < 6) walk(join(dir, entry), depth + 1, takes);
      if (takes) found.push(join(dir, entry));
    }
  };
  walk(cgroupRoot, 0, false);
  return found;
}

function thaw(isOurs: NameRule): void {
  for (const dir of cgroupsOf(isOurs)) {
    for (const [file, value] of [
      ["freezer.state", "THAWED"],
      ["cgroup.freeze", "0"],
    ] as const) {
      if (!existsSync(join(dir, file))) continue;
      try {
        writeFileSync(join(dir, file), value);
      } catch (caught) {
        if (!isErrno(caught, "ENOENT", "ENODEV", "EACCES", "EINVAL")) throw caught; // it vanished, or has no such switch
      }
    }
  }
}

function removeCgroups(isOurs: NameRule): string[] {
  const ours = cgroupsOf(isOurs);
  const count = ours.filter(removeCgroup).length;
  // The group that holds them is shared by all engines of the machine: the last one out removes it.
  // Also where its workloads had ended by themselves and left nothing else to sweep.
  const hierarchies = [cgroupRoot, ...listDirectories(cgroupRoot).map((name) => join(cgroupRoot, name))];
  for (const hierarchy of hierarchies) removeCgroup(join(hierarchy, "aether"));
  return count === 0 ? [] : [`${count} ${count === 1 ? "cgroup" : "cgroups"}`];
}

/** False when it is gone already, or others are in it. */
function removeCgroup(dir: string): boolean {
  try {
    rmdirSync(dir);
    return true;
  } catch (caught) {
    if (isErrno(caught, "ENOENT", "EBUSY", "ENOTEMPTY", "EACCES", "EPERM")) return false;
    throw caught;
  }
}

const memoryRoot = "/dev/shm";

/** Folders of checkpoint images in memory, which an engine names "aether-HOST-…": they hold what the workloads' memory held. */
async function removeImageFolders(isOurs: NameRule): Promise<string[]> {
  const folders = listDirectories(memoryRoot).filter((name) => name.startsWith("aether-") && isOurs(name.replace("aether-", "ae-")));
  for (const name of folders) {
    const folder = join(memoryRoot, name);
    await unmountBelow(folder);
    rmSync(folder, { recursive: true, force: true });
  }
  return folders.length === 0 ? [] : [`${folders.length} image ${folders.length === 1 ? "folder" : "folders"}`];
}

function listDirectories(dir: string): string[] {
  try {
    return readdirSync(dir, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => entry.name);
  } catch (caught) {
    if (isErrno(caught, "ENOENT", "EACCES", "ENODEV")) return [];
    throw caught;
  }
}

/** Unmounts everything below the directory, the last mounted first. */
async function unmountBelow(dir: string): Promise<string[]> {
  const points = mountPointsBelow(readFileSync("/proc/self/mountinfo", "utf8"), dir);
  for (const point of points) await run("umount", ["-l", point], { deadlineMs: 10_000, okCodes: [0, 1, 32] });
  return points.length === 0 ? [] : [`${points.length} ${points.length === 1 ? "mount" : "mounts"}`];
}

/** Mount points at or below `dir`, last mounted first; octal escapes of the kernel undone. Exported for its test. */
export function mountPointsBelow(mountinfo: string, dir: string): string[] {
  return mountinfo
    .split("\n")
    .flatMap((line) => line.split(" ")[4] ?? [])
    .map((path) => path.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8))))
    .filter((path) => path === dir || path.startsWith(`${dir}/`))
    .reverse();
}
