// What the inotify descriptors of a workload watch. criu restores a watch by a path. On most file systems it asks the kernel for it; on an overlay, which
// every rootfs is, it cannot, and looks where it is told to (--irmap-scan-path) and in /etc. Tried with criu 4.2.1: a watch of a directory in the writable layer
// fails the whole dump unless its path is told; one in /etc, and one in /dev/shm, do not.
import { lstatSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { isErrno } from "@aether/kit";
import type { Finding } from "../engine.ts";
import { readProc } from "../runtime/process.ts";

export interface Watch {
  readonly inode: number;
  /** As the kernel has it: twelve bits of major number above twenty of minor. */
  readonly device: number;
}

/** Parses the fdinfo of an inotify descriptor (proc(5)): "inotify wd:1 ino:2f sdev:800001 …", in hexadecimal. */
export const parseWatches = (fdinfo: string): Watch[] =>
  [...fdinfo.matchAll(/^inotify wd:\S+ ino:([0-9a-f]+) sdev:([0-9a-f]+) /gm)].map(([, inode, device]) => ({
    inode: Number.parseInt(inode ?? "0", 16),
    device: Number.parseInt(device ?? "0", 16),
  }));

/** As stat(2) has a device. */
export const deviceOf = (device: number): number => {
  const [major, minor] = [device >>> 20, device & 0xfffff];
  return (minor & 0xff) | (major << 8) | ((minor & ~0xff) << 12);
};

/** File systems of the kernel's own facts: nothing there can be named again on another host. */
const kernels = new Set(["proc", "sysfs", "cgroup", "cgroup2", "debugfs", "tracefs"]);
/** A writable layer with more names than this is not searched: a watch in it then counts as one that cannot be named. */
const maxNames = 20_000;

export interface Watched {
  /** Inside the workload; to be told to criu. */
  readonly paths: readonly string[];
  readonly blockers: readonly Finding[];
}

const nothing: Watched = { paths: [], blockers: [] };

/** @param layer the writable layer on this host; undefined where there is none that is known */
export async function watchedBy(pids: readonly number[], layer: string | undefined): Promise<Watched> {
  const paths = new Set<string>();
  const blockers: Finding[] = [];
  for (const pid of pids) {
    for (const fd of orGone(() => readdirSync(`/proc/${pid}/fd`)) ?? []) {
      const watches = parseWatches((await readProc(pid, `fdinfo/${fd}`)) ?? "");
      if (watches.length === 0) continue;
      const found = name(pid, watches, (await readProc(pid, "mountinfo")) ?? "", layer);
      for (const path of found.paths) paths.add(path);
      if (found.unnamed > 0)
        blockers.push({
          code: "INOTIFY_LOST_PATH",
          message: `it watches ${found.unnamed === 1 ? "something" : `${found.unnamed} things`} that a checkpoint cannot name: deleted and still open, in /proc or /sys, or in a part of the rootfs that is not of its own`,
          mend: "Have the application watch its own directories (or poll), or give the watch up before a move.",
          subject: `process ${pid}, descriptor ${fd}`,
        });
    }
  }
  return paths.size === 0 && blockers.length === 0 ? nothing : { paths: [...paths].sort(), blockers };
}

function name(pid: number, watches: readonly Watch[], mountinfo: string, layer: string | undefined) {
  const root = `/proc/${pid}/root`;
  const rootDevice = orGone(() => statSync(root).dev);
  const typeOf = (device: number) =>
    mountinfo
      .split("\n")
      .find((line) => line.split(" ")[2] === `${device >>> 20}:${device & 0xfffff}`)
      ?.split(" - ")[1]
      ?.split(" ")[0];
  const inRoot = new Set(watches.filter(({ device }) => deviceOf(device) === rootDevice).map(({ inode }) => inode));
  const unnamable = watches.filter(({ device }) => deviceOf(device) !== rootDevice && kernels.has(typeOf(device) ?? "")).length;
  if (inRoot.size === 0 || typeOf(watches.find(({ inode }) => inRoot.has(inode))?.device ?? 0) !== "overlay")
    return { paths: [], unnamed: unnamable };
  const paths: string[] = [];
  const look = (path: string) => {
    const inode = orGone(() => lstatSync(join(root, path)).ino);
    if (inode !== undefined && inRoot.delete(inode)) paths.push(path);
  };
  look("/");
  for (const path of namesIn("/etc", root)) look(path);
  if (layer !== undefined && inRoot.size > 0) for (const path of namesIn("/", layer)) look(path);
  return { paths, unnamed: unnamable + inRoot.size };
}

/** Everything below `top`, as paths inside of `root`; not more than can be looked at now and then. */
function* namesIn(top: string, root: string): Generator<string> {
  const left = [top];
  let count = 0;
  for (let path = left.pop(); path !== undefined && count < maxNames; path = left.pop()) {
    yield path;
    for (const entry of orGone(() => readdirSync(join(root, path), { withFileTypes: true })) ?? []) {
      const inner = join(path, entry.name);
      count++;
      if (entry.isDirectory()) left.push(inner);
      else yield inner;
    }
  }
}

function orGone<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (caught) {
    if (isErrno(caught, "ENOENT", "ESRCH", "ENOTDIR", "EACCES")) return undefined;
    throw caught;
  }
}
