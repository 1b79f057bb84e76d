// A digest over a tree of files: path, type, mode, owner, size and content of every entry. Contents that have not changed since they were last
// hashed (same inode, size, mtime and ctime) are not read again, so that the freeze pays only for what was written since.
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { lstat, readdir, readlink } from "node:fs/promises";
import { join, relative } from "node:path";
import { pipeline } from "node:stream/promises";
import type { TreeDigest } from "../receipt/manifest.ts";

export interface TreeHasher {
  /** Hashes the trees, in the order given. */
  digest(roots: readonly string[]): Promise<TreeDigest>;
  /** Changes when any entry's metadata changes; reads no content. */
  stamp(roots: readonly string[]): Promise<string>;
}

interface Entry {
  readonly path: string;
  readonly stat: Awaited<ReturnType<typeof bigStat>>;
}

const bigStat = (path: string) => lstat(path, { bigint: true });

async function entriesOf(root: string): Promise<Entry[]> {
  const names = await readdir(root, { recursive: true });
  const entries = await Promise.all(
    ["", ...names].map(async (name) => ({ path: join(root, name), stat: await bigStat(join(root, name)) })),
  );
  return entries.sort((a, b) => (a.path < b.path ? -1 : 1));
}

export function createTreeHasher(): TreeHasher {
  const known = new Map<string, string>();

  async function contentOf({ path, stat }: Entry): Promise<string> {
    if (stat.isSymbolicLink()) return readlink(path);
    if (!stat.isFile()) return stat.isDirectory() ? "" : String(stat.rdev);
    const key = `${stat.dev} ${stat.ino} ${stat.size} ${stat.mtimeNs} ${stat.ctimeNs}`;
    const before = known.get(key);
    if (before !== undefined) return before;
    const hash = createHash("sha256");
    await pipeline(createReadStream(path), hash);
    const hex = hash.digest("hex");
    known.set(key, hex);
    return hex;
  }

  return {
    async digest(roots) {
      const hash = createHash("sha256");
      let count = 0;
      let bytes = 0;
      for (const [index, root] of roots.entries()) {
        for (const entry of await entriesOf(root)) {
          const { stat } = entry;
          const size = stat.isFile() ? stat.size : 0n;
          hash.update(`${index} ${relative(root, entry.path)} ${stat.mode} ${stat.uid} ${stat.gid} ${size} ${await contentOf(entry)}\n`);
          count++;
          bytes += Number(size);
        }
      }
      return { digest: hash.digest("hex"), count, bytes };
    },
    async stamp(roots) {
      const hash = createHash("sha256");
      for (const root of roots)
        for (const { path, stat } of await entriesOf(root))
          hash.update(`${path} ${stat.ino} ${stat.mode} ${stat.uid} ${stat.gid} ${stat.size} ${stat.mtimeNs} ${stat.ctimeNs}\n`);
      return hash.digest("hex");
    },
  };
}
