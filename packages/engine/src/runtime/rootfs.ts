// The root file system of a workload: an overlay whose lower layer is the machine's own root or a directory, and whose upper layer is all that travels.
import { lstatSync } from "node:fs";
import { access, chmod, chown, constants, lstat, mkdir, opendir, readFile, readlink, realpath, rm, stat } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { fault } from "@aether/contract";
import { isErrno, run } from "@aether/kit";
import type { WorkloadSpec } from "../engine.ts";
import { type Host, workloadDir } from "../host.ts";
import { findImage, type ImagePin, imageRootfs } from "../image/images.ts";
import type { ProcessSettings } from "../image/process.ts";

export interface RootfsPaths {
  readonly upper: string;
  readonly work: string;
  readonly mounted: string;
  /**
   * A layer between the machine's root and the writable one that hides what is this host's own; it does not travel. On a tmpfs: overlayfs
   * refuses a lower layer inside another one.
   */
  readonly hidden: string;
}

export const rootfsPaths = (host: Host, workload: string): RootfsPaths => {
  const dir = workloadDir(host, workload);
  return {
    upper: join(dir, "upper"),
    work: join(dir, "work"),
    mounted: join(dir, "rootfs"),
    hidden: join(host.memoryDir, "hidden", workload),
  };
};

/** The lower layer. Throws ROOTFS_INVALID. */
export async function lowerDir(host: Host, spec: WorkloadSpec, image: ImagePin | undefined): Promise<string> {
  if (spec.rootfs === "host") return "/";
  if (spec.rootfs.startsWith("oci:")) {
    if (image === undefined || (await findImage(host, image.chainId)) === undefined)
      throw fault("ROOTFS_INVALID", `the image of ${spec.name} is not on this node`, { field: "spec.rootfs" });
    return imageRootfs(host, image.chainId);
  }
  if (!spec.rootfs.startsWith("/"))
    throw fault("ROOTFS_INVALID", `rootfs must be host or an absolute directory, not ${spec.rootfs}`, { field: "spec.rootfs" });
  const found = await stat(spec.rootfs).catch(() => undefined);
  if (!found?.isDirectory()) throw fault("ROOTFS_INVALID", `${spec.rootfs} is not a directory on this node`, { field: "spec.rootfs" });
  const path = await realpath(spec.rootfs);
  if (/[:,\\]/.test(path))
    throw fault("ROOTFS_INVALID", `the path of a rootfs may not hold : , or \\, as ${path}`, { field: "spec.rootfs" });
  return path;
}

/** Makes the folders and hides what a workload on the machine's own root must not read: our state, and what else has keys. It must not be mounted. */
export async function prepareRootfs(host: Host, spec: WorkloadSpec): Promise<void> {
  const paths = rootfsPaths(host, spec.name);
  await rm(paths.hidden, { recursive: true, force: true }); // of an earlier start, which may have hidden less
  for (const dir of Object.values(paths)) await mkdir(dir, { recursive: true });
  if (spec.rootfs !== "host") return;
  const { stateDir, snapshotDir, hiddenPaths = [] } = host.options;
  // Where they really are: a link in their way would lead past what hides them.
  const all = await Promise.all([stateDir, snapshotDir, ...hiddenPaths].map((path) => realpath(path).catch(() => resolve(path))));
  for (const path of all.sort((a, b) => a.length - b.length)) await hide(paths.hidden, path); // the outer ones first
}

/** A whiteout (overlayfs: a 0:0 character device) in this layer; parents keep their modes and owners. */
async function hide(layer: string, path: string): Promise<void> {
  let parent = "/";
  for (const part of dirname(path).split("/").filter(Boolean)) {
    parent = join(parent, part);
    const there = await statIfThere(join(layer, parent));
    if (there?.isCharacterDevice()) return; // a parent is hidden already
    if (there !== undefined) continue;
    const original = await statIfThere(parent);
    if (!original?.isDirectory()) return; // there is nothing to hide
    await mkdir(join(layer, parent));
    await chmod(join(layer, parent), original.mode & 0o7777);
    await chown(join(layer, parent), original.uid, original.gid);
  }
  if ((await statIfThere(join(layer, path))) === undefined) await run("mknod", [join(layer, path), "c", "0", "0"], { deadlineMs: 5000 });
}

const statIfThere = (path: string) =>
  lstat(path).catch((caught: unknown) => {
    if (isErrno(caught, "ENOENT", "ENOTDIR")) return undefined;
    throw caught;
  });

export async function isMounted(path: string): Promise<boolean> {
  const text = await readFile("/proc/self/mountinfo", "utf8");
  return text.split("\n").some((line) => line.split(" ")[4] === path);
}

export async function mountRootfs(host: Host, spec: WorkloadSpec, image: ImagePin | undefined): Promise<string> {
  const paths = rootfsPaths(host, spec.name);
  if (await isMounted(paths.mounted)) return paths.mounted;
  const options = `lowerdir=${paths.hidden}:${await lowerDir(host, spec, image)},upperdir=${paths.upper},workdir=${paths.work}`;
  await run("mount", ["-t", "overlay", "overlay", "-o", options, paths.mounted], { deadlineMs: 10_000 });
  await run("mount", ["--make-private", paths.mounted], { deadlineMs: 10_000 });
  return paths.mounted;
}

export async function unmountRootfs(host: Host, workload: string): Promise<void> {
  const { mounted } = rootfsPaths(host, workload);
  if (await isMounted(mounted)) await run("umount", ["--lazy", mounted], { deadlineMs: 10_000 });
}

/** Finds argv[0] in the workload's root as execvp would. Throws COMMAND_NOT_EXECUTABLE. */
export async function requireExecutable(spec: WorkloadSpec, process: ProcessSettings, root: string): Promise<void> {
  const name = process.argv[0] ?? "";
  const searched = process.env.PATH ?? "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  const candidates = name.includes("/") ? [join(process.workingDirectory, name), name] : searched.split(":").map((dir) => join(dir, name));
  for (const candidate of candidates) if (candidate.startsWith("/") && (await isExecutable(root, candidate))) return;
  throw fault("COMMAND_NOT_EXECUTABLE", `${JSON.stringify(name)} is not an executable file in the rootfs ${spec.rootfs}`, {
    field: "spec.argv",
  });
}

/** Symbolic links are followed inside `root`, never out of it. */
async function isExecutable(root: string, path: string, depth = 0): Promise<boolean> {
  if (depth > 20) return false;
  let at = "/";
  const parts = path.split("/").filter(Boolean);
  for (const [i, part] of parts.entries()) {
    at = join(at, part);
    const found = await statIfThere(join(root, at));
    if (found === undefined) return false;
    if (found.isSymbolicLink()) {
      const to = await readlink(join(root, at));
      return isExecutable(root, join(to.startsWith("/") ? to : join(dirname(at), to), ...parts.slice(i + 1)), depth + 1);
    }
    if (i === parts.length - 1) {
      return (
        found.isFile() &&
        (await access(join(root, at), constants.X_OK).then(
          () => true,
          () => false,
        ))
      );
    }
  }
  return false;
}

/** Bytes and entries of the writable layer. It may have millions, and the workload goes on making and removing them: none is kept in memory. */
export async function layerSize(host: Host, workload: string): Promise<{ bytes: number; count: number }> {
  let bytes = 0;
  let count = 0;
  const left = [rootfsPaths(host, workload).upper];
  for (let path = left.pop(); path !== undefined; path = left.pop()) {
    const dir = await opendir(path, { bufferSize: 256 }).catch((caught: unknown) => {
      if (isErrno(caught, "ENOENT", "ENOTDIR")) return undefined;
      throw caught;
    });
    for await (const entry of dir ?? []) {
      count++;
      if (entry.isDirectory()) left.push(join(path, entry.name));
      else if (entry.isFile()) bytes += sizeIfThere(join(path, entry.name));
    }
  }
  return { bytes, count };
}

/** At once: the detour over threads costs more than the answer, and between each 256 entries others have their turn. */
function sizeIfThere(path: string): number {
  try {
    return lstatSync(path).size;
  } catch (caught) {
    if (isErrno(caught, "ENOENT", "ENOTDIR")) return 0;
    throw caught;
  }
}
