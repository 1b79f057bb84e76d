// Files on their way: artifacts that are downloaded (kept for a while, so that ranges and resumed downloads are of the same bytes) and uploads that are
// not whole yet. In a directory of the control plane's own, for its owner alone; what nobody touches for a day goes, and what is kept for convenience goes
// sooner where there is no room for what is on its way.
import { createHash, type Hash } from "node:crypto";
import { createReadStream } from "node:fs";
import { type FileHandle, mkdir, open, readdir, rename, rm, stat, statfs, utimes } from "node:fs/promises";
import { join } from "node:path";
import { fault } from "@aether/contract";
import { isErrno, readTextIfThere, writeFileAtomic } from "@aether/kit";
import { z } from "zod";

export interface Whole {
  readonly path: string;
  readonly bytes: number;
  readonly sha256: string;
}

/** A file that grows at its end. */
export interface Growing {
  readonly bytes: number;
  write(data: Uint8Array): Promise<void>;
  /** On the disk, and closed. */
  close(): Promise<void>;
}

export interface Spool {
  /** Undefined: it is not kept. */
  find(name: string): Promise<Whole | undefined>;
  /** Makes it by `fill`, whole or not at all. */
  make(name: string, fill: (write: (data: Uint8Array) => Promise<void>) => Promise<void>): Promise<Whole>;
  read(path: string, from: number, length: number | undefined): AsyncIterable<Uint8Array>;
  /** Bytes of an upload so far. */
  received(name: string): Promise<number>;
  /** Goes on at its end. */
  extend(name: string): Promise<Growing>;
  uploadPath(name: string): string;
  /** Reads all of it. */
  digest(path: string): Promise<string>;
  drop(path: string): Promise<void>;
  /** Removes what was not touched for so long. */
  cut(olderThanMs: number): Promise<void>;
}

const about = z.object({ bytes: z.number(), sha256: z.string() });
const pieceBytes = 256 << 10;
/** Names of snapshots, workloads and uploads, which were checked at the door; nothing else becomes a path. */
const safe = /^[a-z0-9][a-z0-9-]{0,140}$/;

/** So much of the disk is left to the database and everybody else. */
const reserveShare = 0.05;
/** Room is looked for again after so much was written. */
const grantBytes = 64 << 20;

/** @param maxBytes of all files together; undefined: what the disk has, less a reserve. Who needs more gets DISK_FULL. */
export function openSpool(dir: string, maxBytes?: number): Spool {
  const ready = mkdir(dir, { recursive: true, mode: 0o700 });
  /** May be written before room is looked for again. */
  let granted = 0;
  const path = (name: string, kind: "artifact" | "part" | "upload"): string => {
    if (!safe.test(name)) throw fault("INVALID_ARGUMENT", `${JSON.stringify(name.slice(0, 80))} cannot be the name of a file`);
    return join(dir, `${name}.${kind}`);
  };
  const sizes = async () => {
    await ready;
    const names = await readdir(dir);
    const all = await Promise.all(names.map(async (name) => ({ name, found: await stat(join(dir, name)).catch(() => undefined) })));
    return all.flatMap(({ name, found }) =>
      found === undefined ? [] : [{ path: join(dir, name), bytes: found.size, atMs: found.mtimeMs }],
    );
  };
  /** Whole artifacts can be made again: those that nobody asked for the longest go first. */
  const makeRoom = async (wanted: number): Promise<number> => {
    const files = await sizes();
    const disk = await statfs(dir);
    const onDisk = (disk.bavail - disk.blocks * reserveShare) * disk.bsize;
    let room = Math.min(onDisk, (maxBytes ?? Number.POSITIVE_INFINITY) - files.reduce((sum, file) => sum + file.bytes, 0));
    for (const { path: file, bytes } of files.filter((each) => each.path.endsWith(".artifact")).sort((a, b) => a.atMs - b.atMs)) {
      if (room >= wanted) break;
      await rm(file, { force: true });
      await rm(`${file}.json`, { force: true });
      room += bytes;
    }
    if (room >= wanted) return Math.min(room, Math.max(wanted, grantBytes));
    const limit = maxBytes === undefined ? "leave too little of the disk to the database" : `take more than ${maxBytes / 1e9} GB`;
    throw fault("DISK_FULL", `snapshots on their way through the control plane would ${limit}`, {
      hint: "Wait until other downloads and uploads have ended, or give them more room (snapshots.spoolGigabytes, the disk of dataDir).",
    });
  };
  const appendTo = async (file: FileHandle, hash: Hash | undefined, data: Uint8Array) => {
    if (data.length > granted) granted = await makeRoom(data.length);
    granted -= data.length;
    hash?.update(data);
    for (let at = 0; at < data.length; ) at += (await file.write(data, at)).bytesWritten;
  };

  return {
    async find(name) {
      const file = path(name, "artifact");
      const text = await readTextIfThere(`${file}.json`);
      if (text === undefined) return undefined;
      const known = about.safeParse(JSON.parse(text));
      const found = await stat(file).catch(() => undefined);
      if (!known.success || found === undefined || found.size !== known.data.bytes) return undefined;
      const now = new Date();
      await utimes(file, now, now);
      return { path: file, ...known.data };
    },
    async make(name, fill) {
      await ready;
      const [draft, file] = [path(name, "part"), path(name, "artifact")];
      const out = await open(draft, "w", 0o600);
      const hash = createHash("sha256");
      let bytes = 0;
      try {
        await fill(async (data) => {
          bytes += data.length;
          await appendTo(out, hash, data);
        });
        await out.datasync();
      } catch (caught) {
        await rm(draft, { force: true });
        throw caught;
      } finally {
        await out.close();
      }
      const known = { bytes, sha256: hash.digest("hex") };
      await rename(draft, file);
      await writeFileAtomic(`${file}.json`, JSON.stringify(known));
      return { path: file, ...known };
    },
    async *read(file, from, length) {
      const end = length === undefined ? {} : { end: from + length - 1 };
      for await (const chunk of createReadStream(file, { start: from, highWaterMark: pieceBytes, ...end }))
        yield new Uint8Array(chunk as Buffer);
    },
    received: async (name) => (await stat(path(name, "upload")).catch(() => undefined))?.size ?? 0,
    async extend(name) {
      await ready;
      const out = await open(path(name, "upload"), "a", 0o600);
      let { size: bytes } = await out.stat();
      return {
        get bytes() {
          return bytes;
        },
        async write(data) {
          await appendTo(out, undefined, data);
          bytes += data.length;
        },
        async close() {
          await out.datasync();
          await out.close();
        },
      };
    },
    uploadPath: (name) => path(name, "upload"),
    async digest(file) {
      const hash = createHash("sha256");
      for await (const chunk of createReadStream(file, { highWaterMark: pieceBytes })) hash.update(chunk as Buffer);
      return hash.digest("hex");
    },
    async drop(file) {
      await rm(file, { force: true });
      granted = 0; // counted anew
    },
    async cut(olderThanMs) {
      await ready;
      for (const name of await readdir(dir)) {
        const file = join(dir, name);
        const found = await stat(file).catch((caught: unknown) => {
          if (isErrno(caught, "ENOENT")) return undefined;
          throw caught;
        });
        if (found !== undefined && Date.now() - found.mtimeMs > olderThanMs) await rm(file, { force: true });
      }
      granted = 0;
    },
  };
}
