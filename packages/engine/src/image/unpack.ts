// Applies the layers of an image, in order, to a directory (OCI image spec 1.1, layer.md): entries are added or replaced, whiteouts take away what earlier
// layers had. Names and links are resolved inside the directory; device nodes are left out, since a container has a /dev of its own and a
// character device 0:0 would be a whiteout to overlayfs.
import { chmod, lchown, link, lstat, lutimes, mkdir, open, readdir, realpath, rm, symlink } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { fault } from "@aether/contract";
import { isErrno, run } from "@aether/kit";
import { resolveInside } from "./inside.ts";
import { readTar, type TarEntry } from "./tar.ts";

export interface UnpackLimits {
  /** Content of all layers together, uncompressed. */
  readonly maxBytes: number;
  readonly maxEntries: number;
}

export const defaultLimits: UnpackLimits = { maxBytes: 64 * 2 ** 30, maxEntries: 2_000_000 };

export interface Unpacked {
  bytes: number;
  entries: number;
  /** Device nodes, and attributes that only a kernel may set. */
  leftOut: number;
}

const refuse = (why: string) => fault("ROOTFS_INVALID", why, { field: "spec.rootfs" });

/** Attributes that an image may bring. Others (trusted.overlay.*, security.selinux) would speak to this host's kernel. */
const isTakenAttribute = (name: string) => name.startsWith("user.") || name === "security.capability";

/** One directory being filled. `native` writes extended attributes. */
export function createUnpacker(root: string, native: string, limits: UnpackLimits = defaultLimits) {
  const total: Unpacked = { bytes: 0, entries: 0, leftOut: 0 };
  const isRoot = process.getuid?.() === 0;
  const directoryTimes = new Map<string, number>();
  let attributes: Buffer[] = [];
  /** Parents that were resolved; forgotten when a link or a directory goes. */
  let parents = new Map<string, string>();

  async function parentOf(path: string): Promise<string> {
    const name = dirname(path);
    const known = parents.get(name);
    if (known !== undefined) return known;
    const found = await resolveInside(root, name, true);
    await mkdir(found, { recursive: true, mode: 0o755 }).catch((caught: unknown) => {
      if (isErrno(caught, "EEXIST", "ENOTDIR")) throw refuse(`${path}: a part of its path is not a directory`);
      throw caught;
    });
    parents.set(name, found);
    return found;
  }

  async function clear(path: string): Promise<void> {
    const there = await statIfThere(path);
    if (there === undefined) return;
    if (there.isDirectory() || there.isSymbolicLink()) parents = new Map();
    await rm(path, { recursive: true, force: true });
  }

  /** Takes away what earlier layers put at `path`, and leaves what this one did: a whiteout hides earlier layers only. */
  async function clearOlder(path: string, fresh: ReadonlySet<string>): Promise<void> {
    if (!fresh.has(path)) return clear(path);
    if (!(await statIfThere(path))?.isDirectory()) return;
    for (const child of await readdir(path)) await clearOlder(join(path, child), fresh);
  }

  async function whiteOut(entry: TarEntry, fresh: ReadonlySet<string>): Promise<void> {
    const name = basename(entry.path);
    const dir = await resolveInside(root, dirname(entry.path), true);
    if (name === ".wh..wh..opq") {
      if ((await statIfThere(dir))?.isDirectory()) for (const child of await readdir(dir)) await clearOlder(join(dir, child), fresh);
      return;
    }
    if (name.startsWith(".wh..wh.")) return; // aufs' own book-keeping
    const hidden = name.slice(".wh.".length);
    if (hidden === "" || hidden === "." || hidden === "..") throw refuse(`${entry.path} is not a valid whiteout`);
    await clearOlder(join(dir, hidden), fresh);
  }

  async function writeAttributes(signal: AbortSignal): Promise<void> {
    if (attributes.length === 0) return;
    const input = Buffer.concat(attributes);
    attributes = [];
    await run(native, ["xattr", "set"], { deadlineMs: 60_000, signal, input });
  }

  async function place(
    entry: TarEntry,
    path: string,
    body: AsyncIterable<Buffer>,
    fresh: ReadonlySet<string>,
    signal: AbortSignal,
  ): Promise<void> {
    const there = await statIfThere(path);
    const isKept = entry.type === "directory" && there?.isDirectory() === true;
    // What waits to be written to it, or below it, belongs to what is there now; behind a link of the same name it would be a file of this host.
    if (!isKept && fresh.has(path)) await writeAttributes(signal);
    if (entry.type === "directory") {
      if (!isKept) {
        await clear(path);
        await mkdir(path);
      }
      directoryTimes.set(path, entry.mtimeMs);
      return;
    }
    if (path === root) throw refuse("the image replaces its own root with something that is not a directory");
    await clear(path);
    switch (entry.type) {
      case "symlink":
        return symlink(entry.linkPath, path);
      case "link": {
        const other = join(await resolveInside(root, dirname(entry.linkPath), true), basename(entry.linkPath));
        const found = await statIfThere(other);
        if (found === undefined || found.isDirectory())
          throw refuse(`${entry.path} is a hard link to ${entry.linkPath}, which is not a file of the image`);
        return link(other, path);
      }
      case "fifo":
        await run("mkfifo", ["--", path], { deadlineMs: 5_000 });
        return;
      default: {
        const file = await open(path, "wx", 0o600);
        try {
          for await (const chunk of body) {
            total.bytes += chunk.length;
            if (total.bytes > limits.maxBytes) throw refuse(`the image holds more than ${limits.maxBytes} bytes`);
            await file.writeFile(chunk);
          }
        } finally {
          await file.close();
        }
      }
    }
  }

  async function dress(entry: TarEntry, path: string): Promise<void> {
    if (isRoot) await lchown(path, entry.uid, entry.gid);
    if (entry.type !== "symlink") await chmod(path, entry.mode); // after the change of owner, which takes setuid away
    for (const [name, value] of entry.xattrs) {
      if (isTakenAttribute(name)) attributes.push(Buffer.from(`${path}\0${name}\0${value.toString("hex")}\0`));
      else total.leftOut++;
    }
    if (entry.type !== "directory") await lutimes(path, entry.mtimeMs / 1000, entry.mtimeMs / 1000);
  }

  return {
    total: total as Readonly<Unpacked>,
    /** Throws ROOTFS_INVALID. A directory that was half filled must be thrown away. */
    async apply(layer: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<void> {
      const fresh = new Set<string>();
      attributes = [];
      for await (const { entry, body } of readTar(layer)) {
        signal.throwIfAborted();
        if (++total.entries > limits.maxEntries) throw refuse(`the image has more than ${limits.maxEntries} entries`);
        const name = basename(entry.path);
        if (name.startsWith(".wh.")) {
          await whiteOut(entry, fresh);
          continue;
        }
        if (entry.type === "char" || entry.type === "block") {
          total.leftOut++;
          continue;
        }
        const path = /^[./]*$/.test(entry.path) ? await resolveInside(root, entry.path, false) : join(await parentOf(entry.path), name);
        if (name === "..") throw refuse(`the image names a path that leads out of it: ${entry.path}`);
        await place(entry, path, body, fresh, signal);
        for (let at = path; at.length > root.length && !fresh.has(at); at = dirname(at)) fresh.add(at);
        if (entry.type !== "link") await dress(entry, path);
      }
      await writeAttributes(signal);
    },
    /** Times of directories are set last: each new child changes them. One that a later entry took away may be behind a link now: not inside any more. */
    async finish(): Promise<Unpacked> {
      const top = await realpath(root);
      for (const [path, mtimeMs] of directoryTimes) {
        if (!(await statIfThere(path))?.isDirectory() || (await realpath(path)) !== top + path.slice(root.length)) continue;
        await lutimes(path, mtimeMs / 1000, mtimeMs / 1000);
      }
      return { ...total };
    },
  };
}

const statIfThere = (path: string) =>
  lstat(path).catch((caught: unknown) => {
    if (isErrno(caught, "ENOENT", "ENOTDIR")) return undefined;
    throw caught;
  });
