// Where snapshots are kept: chunks named by the sha256 of their stored bytes, so that anybody can check them without a key, and manifests that name
// their chunks. A directory that all nodes reach. Writers and the sweeper of unused chunks keep out of each other's way by markers.
import { createHash } from "node:crypto";
import { access, mkdir, open, readdir, readFile, rename, rm, stat, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fault } from "@aether/contract";
import { isErrno, readTextIfThere, run, sleep, writeFileAtomic } from "@aether/kit";

/** A marker older than this was left by a crash. */
export const staleMs = 3_600_000;
/** A sweep that has not touched its marker for so long is over. */
export const sweepStaleMs = 600_000;

export interface SnapshotStore {
  /** Begins a snapshot: from now on no chunk is swept. Call the answer when the manifest is there, or when there will be none. */
  begin(snapshotId: string, signal: AbortSignal): Promise<() => Promise<void>>;
  /** After a restart: what this host had begun will not go on. */
  recover(): Promise<void>;
  /** Stores bytes under their digest; storing what is there changes nothing. Answers the digest. */
  putChunk(bytes: Uint8Array): Promise<string>;
  hasChunk(id: string): Promise<boolean>;
  /** Throws SNAPSHOT_CORRUPT when it is missing or its bytes are others. */
  getChunk(id: string): Promise<Buffer>;
  /** Of a snapshot that will not be: no other may name it. Safe when it is gone. */
  deleteChunk(id: string): Promise<void>;
  /** Everything that was stored so far is on the disk, then the manifest. */
  putManifest(snapshotId: string, bytes: Uint8Array): Promise<void>;
  hasManifest(snapshotId: string): Promise<boolean>;
  /** Undefined when there is none. */
  getManifest(snapshotId: string): Promise<Buffer | undefined>;
  /** Newest first. */
  listManifests(): Promise<string[]>;
  deleteManifest(snapshotId: string): Promise<void>;
  /**
   * Deletes the chunks that `isUsed` does not know, unless a snapshot is being made: then nothing is done, and the next call will.
   * Answers how many went.
   */
  sweep(usedBy: () => Promise<ReadonlySet<string>>): Promise<number>;
}

/** Parses what becomes a name of a file. Throws INVALID_ARGUMENT. */
export function parseSnapshotId(id: string): string {
  if (/^[a-z0-9][a-z0-9-]{0,62}$/.test(id)) return id;
  throw fault("INVALID_ARGUMENT", `${JSON.stringify(id.slice(0, 80))} is not the name of a snapshot`, { field: "snapshot_id" });
}

export const digestOf = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

/** @param owner names this host in its markers, so that it can clear them after a crash of its own. */
export function openDirectoryStore(dir: string, owner: string): SnapshotStore {
  const chunkPath = (id: string) => join(dir, "chunks", id.slice(0, 2), id);
  const manifestPath = (id: string) => join(dir, "manifests", parseSnapshotId(id));
  const pendingDir = join(dir, "pending");
  const sweepMarker = join(dir, "sweep");
  let counter = 0;

  /** Age of a file, ms; undefined when it is not there. */
  const ageOf = async (path: string): Promise<number | undefined> => {
    const found = await stat(path).catch((caught: unknown) => {
      if (isErrno(caught, "ENOENT")) return undefined;
      throw caught;
    });
    return found === undefined ? undefined : Date.now() - found.mtimeMs;
  };

  return {
    async begin(snapshotId, signal) {
      const marker = join(pendingDir, parseSnapshotId(snapshotId));
      await mkdir(pendingDir, { recursive: true, mode: 0o700 });
      const end = () => rm(marker, { force: true });
      try {
        await writeFile(marker, owner);
        // A sweep that began before the marker was there may not know of it.
        while (((await ageOf(sweepMarker)) ?? sweepStaleMs) < sweepStaleMs) await sleep(100, signal);
      } catch (caught) {
        await end(); // a disk that is full leaves an empty one, which nobody knows as its own, and which would keep the sweep from making room
        throw caught;
      }
      return end;
    },
    async recover() {
      for (const name of await namesIn(pendingDir)) {
        const marker = join(pendingDir, name);
        if ((await readTextIfThere(marker)) === owner) await rm(marker, { force: true });
      }
    },
    async putChunk(bytes) {
      const id = digestOf(bytes);
      const path = chunkPath(id);
      if (await isThere(path)) return id;
      await mkdir(join(dir, "chunks", id.slice(0, 2)), { recursive: true, mode: 0o700 });
      const beside = `${path}.${process.pid}.${++counter}.new`;
      try {
        await writeFile(beside, bytes, { mode: 0o600 });
        await rename(beside, path);
      } catch (caught) {
        await rm(beside, { force: true });
        throw caught;
      }
      return id;
    },
    deleteChunk: (id) => rm(chunkPath(id), { force: true }),
    hasChunk: (id) => isThere(chunkPath(id)),
    async getChunk(id) {
      const bytes = await readFile(chunkPath(id)).catch(async (cause: unknown) => {
        if (isErrno(cause, "ENOENT") && (await isThere(dir))) throw fault("SNAPSHOT_CORRUPT", `the chunk ${id} is missing`, { cause });
        // A store that is away says nothing of what it holds.
        throw fault("SNAPSHOT_STORE_UNAVAILABLE", `the chunk ${id} cannot be read from ${dir}`, { cause });
      });
      if (digestOf(bytes) !== id) throw fault("SNAPSHOT_CORRUPT", `the chunk ${id} does not have the content that its name says`);
      return bytes;
    },
    async putManifest(snapshotId, bytes) {
      await mkdir(join(dir, "manifests"), { recursive: true, mode: 0o700 });
      await run("sync", ["-f", dir], { deadlineMs: 300_000 });
      await writeFileAtomic(manifestPath(snapshotId), bytes);
    },
    hasManifest: (snapshotId) => isThere(manifestPath(snapshotId)),
    async getManifest(snapshotId) {
      return readFile(manifestPath(snapshotId)).catch((caught: unknown) => {
        if (isErrno(caught, "ENOENT")) return undefined;
        throw caught;
      });
    },
    async listManifests() {
      const names = await namesIn(join(dir, "manifests"));
      const aged = await Promise.all(
        names
          .filter((name) => !name.endsWith(".new"))
          .map(async (name) => ({ name, age: (await ageOf(join(dir, "manifests", name))) ?? Number.POSITIVE_INFINITY })),
      );
      return aged.sort((a, b) => a.age - b.age).map(({ name }) => name);
    },
    deleteManifest: (snapshotId) => rm(manifestPath(snapshotId), { force: true }),
    async sweep(usedBy) {
      await mkdir(dir, { recursive: true, mode: 0o700 });
      const mine = await open(sweepMarker, "wx").catch(async (caught: unknown) => {
        if (!isErrno(caught, "EEXIST")) throw caught;
        if (((await ageOf(sweepMarker)) ?? 0) >= sweepStaleMs) await rm(sweepMarker, { force: true });
        return undefined;
      });
      if (mine === undefined) return 0;
      await mine.close();
      try {
        for (const name of await namesIn(pendingDir)) {
          if (((await ageOf(join(pendingDir, name))) ?? staleMs) < staleMs) return 0;
          await rm(join(pendingDir, name), { force: true });
        }
        const used = await usedBy();
        let gone = 0;
        for (const prefix of await namesIn(join(dir, "chunks"))) {
          const now = new Date();
          await utimes(sweepMarker, now, now); // it is still at work
          for (const name of await namesIn(join(dir, "chunks", prefix))) {
            if (used.has(name)) continue;
            await rm(join(dir, "chunks", prefix, name), { force: true });
            gone++;
          }
        }
        return gone;
      } finally {
        await rm(sweepMarker, { force: true });
      }
    },
  };
}

const isThere = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );

const namesIn = (dir: string): Promise<string[]> =>
  readdir(dir).catch((caught: unknown) => {
    if (isErrno(caught, "ENOENT")) return [];
    throw caught;
  });
