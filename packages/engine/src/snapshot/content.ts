// Files into chunks and back. A chunk that an earlier snapshot of the workload has is named again and not written: what costs is what changed.
import { createHash } from "node:crypto";
import { open } from "node:fs/promises";
import { fault } from "@aether/contract";
import type { ChunkRef, Content } from "./manifest.ts";
import { packChunk, unpackChunk } from "./sealed.ts";
import type { SnapshotStore } from "./store.ts";

/** Of files that are not memory: databases write pages in place, so fixed offsets do. */
export const fileChunkBytes = 1 << 20;
/** Chunks in the compressor's and the cipher's hands at a time. */
const parallel = 4;
/** Questions to the store at a time: a bucket is some milliseconds away. */
const asked = 16;

export interface ChunkWriter {
  /** Stores a file, cut at the given lengths and then evenly. */
  put(path: string | Buffer, lengths?: readonly number[]): Promise<Content>;
  /** Are all of its chunks still in the store? */
  has(content: Content): Promise<boolean>;
  readonly counts: { chunks: number; newChunks: number; storedBytes: number; bytes: number };
}

/** @param known chunks of earlier snapshots of the same workload, by the sha256 of their content */
export function createChunkWriter(store: SnapshotStore, known: ReadonlyMap<string, ChunkRef>, signal: AbortSignal): ChunkWriter {
  const counts = { chunks: 0, newChunks: 0, storedBytes: 0, bytes: 0 };
  const fresh = new Map<string, Promise<ChunkRef>>();

  async function store_(plain: string, bytes: Buffer): Promise<ChunkRef> {
    const before = known.get(plain);
    if (before !== undefined && (await store.hasChunk(before.id))) return before;
    const packed = await packChunk(bytes);
    const id = await store.putChunk(packed.bytes);
    counts.newChunks++;
    counts.storedBytes += packed.bytes.length;
    return { id, key: packed.key.toString("base64"), plain, bytes: bytes.length };
  }

  function refOf(bytes: Buffer): Promise<ChunkRef> {
    const plain = createHash("sha256").update(bytes).digest("hex");
    counts.chunks++;
    counts.bytes += bytes.length;
    const running = fresh.get(plain) ?? store_(plain, bytes);
    fresh.set(plain, running);
    return running;
  }

  return {
    counts,
    async has(content) {
      for (let at = 0; at < content.chunks.length; at += asked) {
        const found = await Promise.all(content.chunks.slice(at, at + asked).map(({ id }) => store.hasChunk(id)));
        if (found.includes(false)) return false;
      }
      return true;
    },
    async put(path, lengths = []) {
      const whole = createHash("sha256");
      const chunks: Promise<ChunkRef>[] = [];
      const file = await open(path, "r");
      let size = 0;
      try {
        for (let i = 0; ; i++) {
          signal.throwIfAborted();
          const bytes = Buffer.allocUnsafe(lengths[i] ?? fileChunkBytes);
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

/** Writes a content to a new file. Throws SNAPSHOT_CORRUPT unless every byte is what was stored. */
export async function writeContent(store: SnapshotStore, content: Content, path: string | Buffer, signal: AbortSignal): Promise<void> {
  const whole = createHash("sha256");
  const file = await open(path, "wx", 0o600);
  try {
    for (const { id, key } of content.chunks) {
      signal.throwIfAborted();
      const bytes = await unpackChunk(await store.getChunk(id), Buffer.from(key, "base64"));
      whole.update(bytes);
      await file.write(bytes);
    }
  } finally {
    await file.close();
  }
  if (whole.digest("hex") !== content.sha256) throw fault("SNAPSHOT_CORRUPT", `${path.toString()} does not come back as it was`);
}
