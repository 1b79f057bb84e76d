// A digest over trees of files: path, type, mode, owner, size, content, extended attributes and which names are one file. Contents that have not changed
// since they were last read (same inode, size, mtime and ctime) are not read again, so that the freeze pays only for what was written since.
// Times are not part of it: file systems keep them with different precision.
import { createHash } from "node:crypto";
import { closeSync, constants, createReadStream, fstatSync, lstatSync, openSync, readdirSync, readlinkSync, statfsSync } from "node:fs";
import { pipeline } from "node:stream/promises";
import { isErrno } from "@aether/kit";
import { merkleTree } from "../receipt/merkle.ts";
import type { AttributeReader } from "./xattrs.ts";

export interface TreeDigest {
  /** Merkle root over the leaves, hexadecimal. */
  readonly digest: string;
  readonly count: number;
  readonly bytes: number;
  /** One text an entry, sorted. */
  readonly leaves: readonly string[];
}

/** Names a tree in the leaves; the path may be another one on the other host. */
export interface NamedTree {
  readonly name: string;
  readonly path: string;
}

export interface TreeHasher {
  /** What the trees are now. Throws ENOENT's error when a file vanishes while it is read, as the files of a running workload do. */
  digest(trees: readonly NamedTree[]): Promise<TreeDigest>;
  /** Changes when any entry's metadata changes; reads no content. Undefined where a file system does not tell of all writes: nothing is known then. */
  stamp(trees: readonly NamedTree[]): Promise<string | undefined>;
  /** Reads what is new, so that a later digest is quick; a file that vanishes meanwhile is no matter. */
  warm(trees: readonly NamedTree[]): Promise<TreeDigest | undefined>;
}

export type EntryType = "file" | "dir" | "link" | "char" | "block" | "fifo" | "socket";

/** What is needed of an entry. A tree may have a million, and an agent's memory is small: Node's own answer is several times as large. */
export interface EntryStat {
  readonly type: EntryType;
  /** Permission bits with setuid, setgid and sticky. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly links: number;
  readonly device: number;
  /** Of a device node. */
  readonly rdev: number;
  readonly ino: bigint;
  readonly mtimeNs: bigint;
  readonly ctimeNs: bigint;
}

export class Entry {
  /** Below the tree's root; empty for the root itself. Bytes as latin1: file names are bytes, and need not be text. */
  readonly name: string;
  readonly stat: EntryStat;
  readonly #root: string;
  #key: string | undefined;

  constructor(root: string, name: string, stat: EntryStat) {
    this.#root = root;
    this.name = name;
    this.stat = stat;
  }

  /** Bytes as latin1. */
  get path(): string {
    return this.name === "" ? this.#root : `${this.#root}/${this.name}`;
  }

  /** The same as long as nothing of it has changed. */
  get key(): string {
    const { device, ino, size, mtimeNs, ctimeNs } = this.stat;
    this.#key ??= `${device} ${ino} ${size} ${mtimeNs} ${ctimeNs}`;
    return this.#key;
  }
}

const bytesOf = (latin1: string): Buffer => Buffer.from(latin1, "latin1");

const emptyHash = createHash("sha256").digest("hex");
/** Entries whose attributes are asked for together. */
const atOnce = 8192;

/** A file whose ctime is younger than this when it is read may be written again within the same tick of the kernel's clock. */
const settledNs = 50_000_000n;
/** statfs(2): tmpfs and ramfs do not change a file's times when a mapping of it is written. */
const silentFileSystems = new Set([0x01021994, 0x858458f6]);

function isSilent(path: string): boolean {
  try {
    return silentFileSystems.has(statfsSync(path).type);
  } catch (caught) {
    if (isErrno(caught, "ENOENT")) return false;
    throw caught;
  }
}

/**
 * Every entry, in order of path. Synchronous calls: a tree of 10,000 entries takes a tenth of the time that the detour over threads takes; between
 * directories others have their turn.
 */
export async function entriesOf(root: string): Promise<Entry[]> {
  const found: Entry[] = [];
  const left = [""];
  const top = Buffer.from(root).toString("latin1");
  let sinceYield = 0;
  for (let name = left.pop(); name !== undefined; name = left.pop()) {
    const path = bytesOf(name === "" ? top : `${top}/${name}`);
    const stat = statOf(path);
    found.push(new Entry(top, name, stat));
    if (stat.type === "dir")
      for (const child of readdirSync(path, { encoding: "latin1" as BufferEncoding })) left.push(name === "" ? child : `${name}/${child}`);
    if (++sinceYield % 512 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  return found.sort((a, b) => (a.name < b.name ? -1 : 1));
}

function statOf(path: Buffer): EntryStat {
  const { mode, uid, gid, size, nlink, dev, rdev, ino, mtimeNs, ctimeNs } = lstatSync(path, { bigint: true });
  return {
    type: types[Number(mode & 0o170000n)] ?? "socket",
    mode: Number(mode & 0o7777n),
    uid: Number(uid),
    gid: Number(gid),
    size: Number(size),
    links: Number(nlink),
    device: Number(dev),
    rdev: Number(rdev),
    ino,
    mtimeNs,
    ctimeNs,
  };
}

/** inode(7): the type in a mode. */
const types: Readonly<Record<number, EntryType>> = {
  [constants.S_IFREG]: "file",
  [constants.S_IFDIR]: "dir",
  [constants.S_IFLNK]: "link",
  [constants.S_IFCHR]: "char",
  [constants.S_IFBLK]: "block",
  [constants.S_IFIFO]: "fifo",
  [constants.S_IFSOCK]: "socket",
};

const escaped = (each: string): string => `\\x${each.charCodeAt(0).toString(16).padStart(2, "0")}`;

/** As text: UTF-8 where it is, otherwise and for control characters \xNN. */
function printable(latin1: string): string {
  const text = bytesOf(latin1).toString("utf8");
  const isText = !text.includes("�");
  return (isText ? text : latin1).replace(isText ? /[\\\p{Cc} ]/gu : /[\\\p{Cc} \u0080-\u00ff]/gu, escaped);
}

/** open(2): names a file without opening it, so that no pipe is waited for and no device takes notice. */
const O_PATH = 0o10000000;

/**
 * The very file that was looked at. A workload that runs may put a link in the place of a directory meanwhile, and we are root: by its name alone this could be any
 * file of the host, and its content would then count as the workload's. Throws ENOENT's error when it is another one.
 */
export function openEntry({ path, stat }: Entry): number {
  const named = openSync(bytesOf(path), O_PATH | constants.O_NOFOLLOW);
  try {
    const now = fstatSync(named, { bigint: true });
    if (Number(now.dev) !== stat.device || now.ino !== stat.ino)
      throw Object.assign(new Error(`ENOENT: ${printable(path)} is another file than a moment ago`), { code: "ENOENT" });
    return openSync(`/proc/self/fd/${named}`, constants.O_RDONLY);
  } finally {
    closeSync(named);
  }
}

/** @param attributes reads extended attributes; without it they are not part of the digest. */
export function createTreeHasher(attributes?: AttributeReader): TreeHasher {
  const contents = new Map<string, string>();
  const extended = new Map<string, string>();

  const isSettled = ({ stat }: Entry) => BigInt(Date.now()) * 1_000_000n - stat.ctimeNs > settledNs;

  async function contentOf(entry: Entry, isTrusted: boolean): Promise<string> {
    const { stat, path } = entry;
    if (stat.type === "link") return printable(readlinkSync(bytesOf(path), { encoding: "latin1" as BufferEncoding }));
    if (stat.type !== "file") return stat.type === "char" || stat.type === "block" ? String(stat.rdev) : "-";
    if (stat.size === 0) return emptyHash;
    const key = entry.key;
    const before = isTrusted ? contents.get(key) : undefined;
    if (before !== undefined) return before;
    const isKept = isTrusted && isSettled(entry);
    const hash = createHash("sha256");
    // No more than it had: a file that grows as fast as it is read would have no end.
    const file = openEntry(entry);
    await pipeline(createReadStream("", { fd: file, end: stat.size - 1, highWaterMark: 1 << 20 }), hash);
    const hex = hash.digest("hex");
    if (isKept) contents.set(key, hex);
    return hex;
  }

  /** All entries' attributes; the helper is asked only for those that are not known. */
  async function attributesOf(entries: readonly Entry[]): Promise<Map<Entry, string>> {
    const answer = new Map<Entry, string>();
    if (attributes === undefined) return answer;
    const asked = entries.filter((entry) => {
      const known = extended.get(entry.key);
      if (known !== undefined) answer.set(entry, known);
      return known === undefined;
    });
    const texts = await attributes(asked.map((entry) => bytesOf(entry.path)));
    for (const [at, entry] of asked.entries()) {
      const text = texts[at] ?? "";
      answer.set(entry, text);
      if (isSettled(entry)) extended.set(entry.key, text);
    }
    return answer;
  }

  async function digest(trees: readonly NamedTree[]): Promise<TreeDigest> {
    const leaves: string[] = [];
    let bytes = 0;
    for (const tree of trees) {
      const entries = await entriesOf(tree.path);
      const isTrusted = !isSilent(tree.path);
      const firstNames = new Map<string, string>();
      for (let from = 0; from < entries.length; from += atOnce) {
        const some = entries.slice(from, from + atOnce);
        const attributesByEntry = await attributesOf(some);
        for (const entry of some) {
          const { stat } = entry;
          const path = `${tree.name}/${printable(entry.name)}`;
          const size = stat.type === "file" ? stat.size : 0;
          const fields = [
            path,
            stat.type,
            stat.mode.toString(8),
            `${stat.uid}:${stat.gid}`,
            String(size),
            await contentOf(entry, isTrusted),
          ];
          if (stat.links > 1 && stat.type !== "dir") {
            const first = firstNames.get(`${stat.device} ${stat.ino}`);
            if (first === undefined) firstNames.set(`${stat.device} ${stat.ino}`, path);
            else fields.push(`same-as ${first}`);
          }
          const more = attributesByEntry.get(entry) ?? "";
          if (more !== "") fields.push(more);
          leaves.push(fields.join(" "));
          bytes += size;
        }
      }
    }
    const tree = merkleTree(leaves);
    return { digest: tree.root, count: leaves.length, bytes, leaves: tree.leaves };
  }

  return {
    digest,
    async stamp(trees) {
      const hash = createHash("sha256");
      for (const tree of trees) {
        if (isSilent(tree.path)) return undefined;
        for (const { path, stat } of await entriesOf(tree.path))
          hash.update(`${path} ${stat.ino} ${stat.mode} ${stat.uid} ${stat.gid} ${stat.size} ${stat.mtimeNs} ${stat.ctimeNs}\n`);
      }
      return hash.digest("hex");
    },
    warm: (trees) =>
      digest(trees).catch((caught: unknown) => {
        if (isErrno(caught, "ENOENT")) return undefined;
        throw caught;
      }),
  };
}
