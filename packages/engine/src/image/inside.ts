// Paths inside a root file system that somebody else made: looked up as the workload would see them, never out of the root. Nobody else may
// change the tree meanwhile; that is so for a layer being unpacked and for a read-only image.
import { lstat, readlink } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fault } from "@aether/contract";
import { isErrno } from "@aether/kit";

const maxLinks = 40; // as the kernel

/** The parts of a path that may not lead upwards. Throws ROOTFS_INVALID. */
export function partsOf(path: string): string[] {
  const parts = path.split("/").filter((part) => part !== "" && part !== ".");
  if (parts.includes("..") || path.includes("\0"))
    throw fault("ROOTFS_INVALID", `the image names a path that leads out of it: ${JSON.stringify(path.slice(0, 200))}`, {
      field: "spec.rootfs",
    });
  return parts;
}

/**
 * Where `path` is on this host when every symbolic link on the way is followed inside `root`; the last part is followed too with
 * `isFollowed`. A part that does not exist is taken as it is written. Throws ROOTFS_INVALID for links in circles and links above the root.
 */
export async function resolveInside(root: string, path: string, isFollowed: boolean): Promise<string> {
  const left = partsOf(path).reverse();
  let at = "/";
  let links = 0;
  for (let part = left.pop(); part !== undefined; part = left.pop()) {
    if (part === "..") {
      if (at === "/") throw fault("ROOTFS_INVALID", `a symbolic link of the image leads out of it: ${path}`, { field: "spec.rootfs" });
      at = dirname(at);
      continue;
    }
    const next = join(at, part);
    if (left.length > 0 || isFollowed) {
      const found = await lstat(join(root, next)).catch((caught: unknown) => {
        if (isErrno(caught, "ENOENT", "ENOTDIR")) return undefined;
        throw caught;
      });
      if (found?.isSymbolicLink()) {
        if (++links > maxLinks)
          throw fault("ROOTFS_INVALID", `symbolic links of the image go in circles: ${path}`, { field: "spec.rootfs" });
        const to = await readlink(join(root, next));
        if (to.startsWith("/")) at = "/";
        left.push(
          ...to
            .split("/")
            .filter((each) => each !== "" && each !== ".")
            .reverse(),
        );
        continue;
      }
    }
    at = next;
  }
  return at === "/" ? root : join(root, at);
}
