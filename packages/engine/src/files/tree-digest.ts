// A digest over trees of files: path, type, mode, owner, size, content, extended attributes and which names are one file. Contents that have not changed
// since they were last read (same inode, size, mtime and ctime) are not read again, so that the freeze pays only for what was written since.
// Times are not part of it: file systems keep them with different precision.
import { createHash } from "node:crypto";
import {
  type BigIntStats,
  closeSync,
  constants,
  createReadStream,
  fstatSync,
  lstatSync,
  openSync,
  readdirSync,
  readlinkSync,
  statfsSync,
} from "node:fs";
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

export interface Entry {
  /** Bytes as latin1: file names are bytes, and need not be text. */
  readonly path: string;
  /** Below the tree's root; empty for the root itself. */
  readonly name: string;
  readonly stat: BigIntStats;
}

const bytesOf = (latin1: string): Buffer => Buffer.from(latin1, "latin1");

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
  let sinceYield = 0;
  for (let name = left.pop(); name !== undefined; name = left.pop()) {
    const path = name === "" ? Buffer.from(root).toString("latin1") : `${Buffer.from(root).toString("latin1")}/${name}`;
    const stat = lstatSync(bytesOf(path), { bigint: true });
    found.push({ path, name, stat });
    if (stat.isDirectory())
      for (const child of readdirSync(bytesOf(path), { encoding: "latin1" as BufferEncoding }))
        left.push(name === "" ? child : `${name}/${child}`);
    if (++sinceYield % 512 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  return found.sort((a, b) => (a.name < b.name ? -1 : 1));
}

export const typeOf = (stat: BigIntStats): string =>
  stat.isFile() ? "file"
  : stat.isDirectory() ? "dir"
  : stat.isSymbolicLink() ? "link"
  : stat.isCharacterDevice() ? "char"
  : stat.isBlockDevice() ? "block"
  : stat.isFIFO() ? "fifo"
  : "socket"; // biome-ignore format: a table

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
    if (now.dev !== stat.dev || now.ino !== stat.ino)
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

  const keyOf = ({ stat }: Entry) => `${stat.dev} ${stat.ino} ${stat.size} ${stat.mtimeNs} ${stat.ctimeNs}`;
  const isSettled = ({ stat }: Entry) => BigInt(Date.now()) * 1_000_000n - stat.ctimeNs > settledNs;

  async function contentOf(entry: Entry, isTrusted: boolean): Promise<string> {
    const { stat, path } = entry;
    if (stat.isSymbolicLink()) return printable(readlinkSync(bytesOf(path), { encoding: "latin1" as BufferEncoding }));
    if (!stat.isFile()) return stat.isCharacterDevice() || stat.isBlockDevice() ? String(stat.rdev) : "-";
    const key = keyOf(entry);
    const before = isTrusted ? contents.get(key) : undefined;
    if (before !== undefined) return before;
    const isKept = isTrusted && isSettled(entry);
    const hash = createHash("sha256");
    // No more than it had: a file that grows as fast as it is read would have no end.
    const file = openEntry(entry);
    if (stat.size === 0n) closeSync(file);
    else await pipeline(createReadStream("", { fd: file, end: Number(stat.size) - 1, highWaterMark: 1 << 20 }), hash);
    const hex = hash.digest("hex");
    if (isKept) contents.set(key, hex);
    return hex;
  }

  /** All entries' attributes; the helper is asked only for those that are not known. */
  async function attributesOf(entries: readonly Entry[]): Promise<Map<Entry, string>> {
    const answer = new Map<Entry, string>();
    if (attributes === undefined) return answer;
    const asked = entries.filter((entry) => {
      const known = extended.get(keyOf(entry));
      if (known !== undefined) answer.set(entry, known);
      return known === undefined;
    });
    const texts = await attributes(asked.map((entry) => bytesOf(entry.path)));
    for (const [at, entry] of asked.entries()) {
      const text = texts[at] ?? "";
      answer.set(entry, text);
      if (isSettled(entry)) extended.set(keyOf(entry), text);
    }
    return answer;
  }

  async function digest(trees: readonly NamedTree[]): Promise<TreeDigest> {
    const leaves: string[] = [];
    let bytes = 0;
    for (const tree of trees) {
      const entries = await entriesOf(tree.path);
      const isTrusted = !isSilent(tree.path);
      const attributesByEntry = await attributesOf(entries);
      const firstNames = new Map<string, string>();
      for (const entry of entries) {
        const { stat } = entry;
        const path = `${tree.name}/${printable(entry.name)}`;
        const size = stat.isFile() ? stat.size : 0n;
        const fields = [
          path,
          typeOf(stat),
          (stat.mode & 0o7777n).toString(8),
          `${stat.uid}:${stat.gid}`,
          String(size),
          await contentOf(entry, isTrusted),
        ];
        if (stat.nlink > 1n && !stat.isDirectory()) {
          const first = firstNames.get(`${stat.dev} ${stat.ino}`);
          if (first === undefined) firstNames.set(`${stat.dev} ${stat.ino}`, path);
          else fields.push(`same-as ${first}`);
        }
        const more = attributesByEntry.get(entry) ?? "";
        if (more !== "") fields.push(more);
        leaves.push(fields.join(" "));
        bytes += Number(size);
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
