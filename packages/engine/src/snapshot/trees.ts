// Trees of files in a snapshot: every entry with all that makes it what it is, and back onto an empty directory.
import { createHash } from "node:crypto";
import { readlinkSync } from "node:fs";
import { chmod, lchown, link, lutimes, mkdir, rename, rm, symlink } from "node:fs/promises";
import { createServer } from "node:net";
import { dirname, join } from "node:path";
import { run } from "@aether/kit";
import { type Entry, entriesOf, type NamedTree } from "../files/tree-digest.ts";
import { attributeReader } from "../files/xattrs.ts";
import { type ChunkWriter, writeContent } from "./content.ts";
import { type Content, requireInside, type TreeEntry } from "./manifest.ts";
import type { SnapshotStore } from "./store.ts";

const latin1 = (text: string): Buffer => Buffer.from(text, "latin1");

const stampOf = ({ stat }: Entry): string => `${stat.ino} ${stat.size} ${stat.mtimeNs} ${stat.ctimeNs}`;

/** @param before the same tree in the last snapshot: files whose stamp has not changed are not read again */
export async function storeTree(tree: NamedTree, writer: ChunkWriter, native: string, before: readonly TreeEntry[]): Promise<TreeEntry[]> {
  const entries = await entriesOf(tree.path);
  const attributes = await attributeReader(native)(entries.map(({ path }) => latin1(path)));
  const known = new Map<string, Content>(before.flatMap(({ stamp, content }) => (stamp && content ? [[stamp, content] as const] : [])));
  const firstNames = new Map<string, string>();
  const stored: TreeEntry[] = [];
  for (const [at, entry] of entries.entries()) {
    const { stat, name, path } = entry;
    const base = {
      path: name,
      type: stat.type,
      mode: stat.mode,
      uid: stat.uid,
      gid: stat.gid,
      mtimeNs: String(stat.mtimeNs),
      ...(attributes[at] ? { attributes: attributes[at] } : {}),
    };
    const first = stat.links > 1 && stat.type !== "dir" ? firstNames.get(String(stat.ino)) : undefined;
    if (first !== undefined) {
      stored.push({ ...base, target: first, sameAs: true });
      continue;
    }
    firstNames.set(String(stat.ino), name);
    if (stat.type === "link") stored.push({ ...base, target: readlinkSync(latin1(path), { encoding: "latin1" }) });
    else if (stat.type === "file") {
      const stamp = stampOf(entry);
      const kept = known.get(stamp);
      stored.push({ ...base, stamp, content: kept !== undefined && (await writer.has(kept)) ? kept : await writer.put(latin1(path)) });
    } else if (stat.type === "char" || stat.type === "block") stored.push({ ...base, rdev: stat.rdev });
    else stored.push(base);
  }
  return stored;
}

/** Makes `root`, which must be missing: what somebody else has made there may be led elsewhere. Throws SNAPSHOT_CORRUPT. */
export async function restoreTree(
  root: string,
  entries: readonly TreeEntry[],
  store: SnapshotStore,
  native: string,
  signal: AbortSignal,
): Promise<void> {
  requireInside(entries);
  await mkdir(dirname(root), { recursive: true });
  await mkdir(root, { mode: 0o700 });
  // On its file system, and short: a socket's name has 107 bytes.
  const beside = join(dirname(root), `.${createHash("sha256").update(root).digest("hex").slice(0, 8)}`);
  const pathOf = (name: string): Buffer => (name === "" ? Buffer.from(root) : Buffer.concat([Buffer.from(`${root}/`), latin1(name)]));
  const attributes: Buffer[] = [];
  for (const entry of entries) {
    const path = pathOf(entry.path);
    await make(entry, path);
    if (entry.sameAs) continue;
    await lchown(path, entry.uid, entry.gid);
    if (entry.type !== "link") await chmod(path, entry.mode);
    for (const pair of (entry.attributes ?? "").split(" ").filter(Boolean)) {
      const at = pair.indexOf("=");
      attributes.push(path, Buffer.from(`\0${pair.slice(0, at)}\0${pair.slice(at + 1)}\0`));
    }
  }
  if (attributes.length > 0) await run(native, ["xattr", "set"], { deadlineMs: 120_000, signal, input: Buffer.concat(attributes) });
  // Directories last: each new child changed their times.
  for (const entry of [...entries].reverse()) {
    const seconds = Number(BigInt(entry.mtimeNs) / 1000n) / 1e6;
    if (!entry.sameAs) await lutimes(pathOf(entry.path), seconds, seconds);
  }

  async function make(entry: TreeEntry, path: Buffer): Promise<void> {
    if (entry.sameAs) return link(pathOf(entry.target ?? ""), path);
    switch (entry.type) {
      case "dir":
        return entry.path === "" ? undefined : mkdir(path);
      case "link":
        return symlink(latin1(entry.target ?? ""), path);
      case "file":
        if (entry.content === undefined) throw new Error(`${entry.path} has no content`);
        return writeContent(store, entry.content, path, signal);
      case "fifo":
        return makeNode(path, "p");
      case "char":
      case "block": {
        const rdev = entry.rdev ?? 0;
        const [major, minor] = [(rdev >> 8) & 0xfff, (rdev & 0xff) | ((rdev >> 12) & 0xfff00)];
        return makeNode(path, entry.type === "char" ? "c" : "b", String(major), String(minor));
      }
      case "socket":
        // The name of a socket; who listened there is in the images, and criu binds it anew.
        return makeSocket(beside, path);
    }
  }

  /** A program's argument is UTF-8, a file's name may be any bytes. */
  async function makeNode(path: Buffer, ...what: readonly string[]): Promise<void> {
    await rm(beside, { force: true });
    await run("mknod", ["--", beside, ...what], { deadlineMs: 5_000 });
    await rename(beside, path);
  }
}

/** The name of a unix socket, with nobody behind it: a server's name is taken away when it closes, a second name stays. */
async function makeSocket(beside: string, path: Buffer): Promise<void> {
  await rm(beside, { force: true }); // of an agent that was killed here
  const server = createServer();
  await new Promise<void>((resolve, reject) => server.once("error", reject).listen(beside, resolve));
  try {
    await link(beside, path);
  } finally {
    await new Promise<void>((resolve) => server.close(() => resolve()));
  }
}

/** Where a tree of the workload is mirrored while it runs, so that the freeze has only what changed since. */
export const mirrorOf = (workloadDir: string, tree: string): string => join(workloadDir, "mirror", tree);
