// Files into chunks and back. A chunk that an earlier snapshot of the workload has is named again and not written: what costs is what changed.
import { createHash } from "node:crypto";
import { type FileHandle, open } from "node:fs/promises";
import { fault } from "@aether/contract";
import type { ChunkRef, Content } from "./manifest.ts";
import { type PagePlan, pageBytes, type StoredRun } from "./pages.ts";
import { packChunk, unpackChunk } from "./sealed.ts";
import type { SnapshotStore } from "./store.ts";

/** Of files that are not memory: databases write pages in place, so fixed offsets do. */
export const fileChunkBytes = 1 << 20;
/** Chunks in the compressor's and the cipher's hands at a time. */
const parallel = 4;
/** Questions to the store at a time: a bucket is some milliseconds away. */
const asked = 16;

export interface ChunkWriter {
  /** Stores a file, cut evenly. */
  put(path: string | Buffer): Promise<Content>;
  /** Stores an image of pages as planned. Answers where each page lies now, too. */
  putPages(path: string, plan: PagePlan): Promise<{ readonly content: Content; readonly runs: StoredRun[] }>;
  /** Are all of its chunks still in the store? */
  has(content: Content): Promise<boolean>;
  /** Ids of the chunks that this has written so far; waits for those that are under way. */
  written(): Promise<string[]>;
  readonly counts: { chunks: number; newChunks: number; storedBytes: number; bytes: number };
}

/**
 * @param known chunks of earlier snapshots of the same workload, by the sha256 of their content
 * @param isThere is a known one in the store still? Default: the store is asked
 */
export function createChunkWriter(
  store: SnapshotStore,
  known: ReadonlyMap<string, ChunkRef>,
  signal: AbortSignal,
  isThere: (id: string) => Promise<boolean> = store.hasChunk,
): ChunkWriter {
  const counts = { chunks: 0, newChunks: 0, storedBytes: 0, bytes: 0 };
  const fresh = new Map<string, Promise<ChunkRef>>();
  const written: string[] = [];

  async function store_(plain: string, bytes: Buffer): Promise<ChunkRef> {
    const before = known.get(plain);
    if (before !== undefined && (await isThere(before.id))) return before;
    const packed = await packChunk(bytes);
    const id = await store.putChunk(packed.bytes);
    written.push(id);
    counts.newChunks++;
    counts.storedBytes += packed.bytes.length;
    return { id, key: packed.key.toString("base64"), plain, bytes: bytes.length };
  }

  function refOf(bytes: Buffer): Promise<ChunkRef> {
    const plain = createHash("sha256").update(bytes).digest("hex");
    counts.chunks++;
    counts.bytes += bytes.length;
    const running = fresh.get(plain) ?? store_(plain, bytes);
    running.catch(() => undefined); // heard in the order of the file; one that fails before its turn must not end the agent
    fresh.set(plain, running);
    return running;
  }

  return {
    counts,
    async putPages(path, { chunks, runs }) {
      const readStored = chunkReader(store, cachedChunks);
      const file = await open(path, "r");
      const made: Promise<ChunkRef>[] = [];
      try {
        for (const pieces of chunks) {
          signal.throwIfAborted();
          const bytes = Buffer.allocUnsafe(pieces.reduce((sum, { pages }) => sum + pages * pageBytes, 0));
          let filled = 0;
          for (const piece of pieces) {
            const length = piece.pages * pageBytes;
            if ("at" in piece) await readWhole(file, bytes.subarray(filled, filled + length), piece.at * pageBytes);
            else (await readStored(piece.chunk)).copy(bytes, filled, piece.from * pageBytes, piece.from * pageBytes + length);
            filled += length;
          }
          made.push(refOf(bytes));
          if (made.length >= parallel) await made[made.length - parallel];
        }
        const refs = await Promise.all(made);
        return slicesOf(runs.map((run) => ({ ...run, chunk: typeof run.chunk === "number" ? (refs[run.chunk] as ChunkRef) : run.chunk })));
      } finally {
        await Promise.allSettled(made);
        await file.close();
      }
    },
    async written() {
      await Promise.allSettled(fresh.values());
      return written;
    },
    async has(content) {
      for (let at = 0; at < content.chunks.length; at += asked) {
        const found = await Promise.all(content.chunks.slice(at, at + asked).map(({ id }) => isThere(id)));
        if (found.includes(false)) return false;
      }
      return true;
    },
    async put(path) {
      const whole = createHash("sha256");
      const chunks: Promise<ChunkRef>[] = [];
      const file = await open(path, "r");
      let size = 0;
      try {
        for (;;) {
          signal.throwIfAborted();
          const bytes = Buffer.allocUnsafe(fileChunkBytes);
          let filled = 0;
          while (filled < bytes.length) {
            const { bytesRead } = await file.read(bytes, filled, bytes.length - filled);
            if (bytesRead === 0) break;
            filled += bytesRead;
          }
          if (filled === 0) break;
          const part = bytes.subarray(0, filled);
          whole.update(part);
          size += filled;
          chunks.push(refOf(part));
          if (chunks.length >= parallel) await chunks[chunks.length - parallel];
        }
        return { bytes: size, sha256: whole.digest("hex"), chunks: await Promise.all(chunks) };
      } finally {
        await Promise.allSettled(chunks);
        await file.close();
      }
    },
  };
}

async function readWhole(file: FileHandle, into: Buffer, at: number): Promise<void> {
  for (let filled = 0; filled < into.length; ) {
    const { bytesRead } = await file.read(into, filled, into.length - filled, at + filled);
    if (bytesRead === 0) throw fault("TRANSFER_FAILED", "an image of memory pages is shorter than its page map says");
    filled += bytesRead;
  }
}

/** A content of pages, from where each run of it is stored. */
function slicesOf(runs: readonly StoredRun[]): { readonly content: Content; readonly runs: StoredRun[] } {
  const indexes = new Map<ChunkRef, number>();
  const lines = createHash("sha256");
  const slices = runs.map(({ chunk, from, pages }): [number, number, number] => {
    const index = indexes.get(chunk) ?? indexes.size;
    indexes.set(chunk, index);
    lines.update(`${chunk.plain} ${from * pageBytes} ${pages * pageBytes}\n`);
    return [index, from * pageBytes, pages * pageBytes];
  });
  const bytes = runs.reduce((sum, { pages }) => sum + pages * pageBytes, 0);
  return { content: { bytes, sha256: lines.digest("hex"), chunks: [...indexes.keys()], slices }, runs: [...runs] };
}

/** Chunks that are asked for again soon: pages that were written together lie together, a few in each stretch. */
const cachedChunks = 32;

/** Reads chunks of a store, and compares each with its digest. Throws SNAPSHOT_CORRUPT. */
function chunkReader(store: SnapshotStore, kept: number): (ref: ChunkRef) => Promise<Buffer> {
  const cache = new Map<string, Buffer>();
  return async ({ id, key, plain }) => {
    const cached = cache.get(id);
    if (cached !== undefined) {
      cache.delete(id);
      cache.set(id, cached); // the one asked for longest ago goes first
      return cached;
    }
    const bytes = await unpackChunk(await store.getChunk(id), Buffer.from(key, "base64"));
    if (createHash("sha256").update(bytes).digest("hex") !== plain)
      throw fault("SNAPSHOT_CORRUPT", `the chunk ${id} does not have the content that the snapshot names`);
    cache.set(id, bytes);
    for (const oldest of cache.keys()) if (cache.size > kept) cache.delete(oldest);
    return bytes;
  };
}

/** Writes a content to a new file. Throws SNAPSHOT_CORRUPT unless every byte is what was stored. */
export async function writeContent(store: SnapshotStore, content: Content, path: string | Buffer, signal: AbortSignal): Promise<void> {
  const { chunks, slices } = content;
  const whole = createHash("sha256");
  const read = chunkReader(store, slices === undefined ? 0 : cachedChunks);
  const file = await open(path, "wx", 0o600);
  try {
    for (const [index, from, length] of slices ?? chunks.map(({ bytes }, at): [number, number, number] => [at, 0, bytes])) {
      signal.throwIfAborted();
      const chunk = chunks[index];
      if (chunk === undefined) throw fault("SNAPSHOT_CORRUPT", `${path.toString()} names a chunk that its snapshot has not`);
      const bytes = (await read(chunk)).subarray(from, from + length);
      whole.update(slices === undefined ? bytes : `${chunk.plain} ${from} ${bytes.length}\n`);
      await file.writeFile(bytes); // all of it: `write` may take a part, as on a disk that fills up
    }
  } finally {
    await file.close();
  }
  if (whole.digest("hex") !== content.sha256) throw fault("SNAPSHOT_CORRUPT", `${path.toString()} does not come back as it was`);
}
