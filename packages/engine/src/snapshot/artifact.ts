// A snapshot as one stream, out of a store and into one: its manifest, then each chunk under its name. The bytes are the store's own: sealed, so that
// nobody needs a key, and named by their digests, so that nothing is believed. Never more than one chunk in memory.
//   {"format":"aether-artifact/1","snapshotId":…,"manifestBytes":…,"chunks":…}\n   manifest   (32 bytes digest, 4 bytes length, bytes)*
import { fault } from "@aether/contract";
import { z } from "zod";
import { readHead } from "./manifest.ts";
import { largestChunkBytes } from "./sealed.ts";
import { parseSnapshotId, type SnapshotStore } from "./store.ts";

const head = z.object({
  format: z.literal("aether-artifact/1"),
  snapshotId: z.string(),
  manifestBytes: z
    .int()
    .min(1)
    .max(512 << 20),
  chunks: z.int().min(0),
});

const longestHead = 4_096;

/** Throws SNAPSHOT_NOT_FOUND, SNAPSHOT_CORRUPT. */
export async function* exportSnapshot(store: SnapshotStore, snapshotId: string): AsyncGenerator<Buffer> {
  const manifest = await store.getManifest(parseSnapshotId(snapshotId));
  if (manifest === undefined) throw fault("SNAPSHOT_NOT_FOUND", `${snapshotId} is not in the store of this node`);
  const { chunks } = readHead(snapshotId, manifest).head;
  const line: z.infer<typeof head> = { format: "aether-artifact/1", snapshotId, manifestBytes: manifest.length, chunks: chunks.length };
  yield Buffer.from(`${JSON.stringify(line)}\n`);
  yield manifest;
  for (const id of chunks) {
    const bytes = await store.getChunk(id);
    const frame = Buffer.alloc(36);
    frame.write(id, 0, "hex");
    frame.writeUInt32BE(bytes.length, 32);
    yield frame;
    yield bytes;
  }
}

/** All chunks, then the manifest: until then nothing of it can be restored. Repeating it changes nothing. Throws SNAPSHOT_CORRUPT. */
export async function importSnapshot(
  store: SnapshotStore,
  snapshotId: string,
  source: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): Promise<void> {
  const corrupt = (why: string) => fault("SNAPSHOT_CORRUPT", `${snapshotId}: ${why}`);
  const read = createReader(source, () => corrupt("the file ends too early"));
  const done = await store.begin(parseSnapshotId(snapshotId), signal);
  try {
    const text = await read.line(longestHead);
    const parsed = head.safeParse(safeJson(text));
    if (!parsed.success) throw corrupt("it is not a snapshot as a file");
    if (parsed.data.snapshotId !== snapshotId) throw corrupt(`the file is that of ${parsed.data.snapshotId}`);
    const manifest = await read.bytes(parsed.data.manifestBytes);
    const needed = new Set(readHead(snapshotId, manifest).head.chunks);
    for (let i = 0; i < parsed.data.chunks; i++) {
      signal.throwIfAborted();
      const frame = await read.bytes(36);
      const id = frame.toString("hex", 0, 32);
      const length = frame.readUInt32BE(32);
      if (!needed.has(id)) throw corrupt(`it has a chunk ${id} that its manifest does not name`);
      if (length > largestChunkBytes) throw corrupt(`the chunk ${id} is larger than any`);
      if ((await store.putChunk(await read.bytes(length))) !== id)
        throw corrupt(`the chunk ${id} does not have the content that its name says`);
    }
    for (const id of needed) if (!(await store.hasChunk(id))) throw corrupt(`the chunk ${id} is missing`);
    if (!(await read.isAtEnd())) throw corrupt("there is more in the file than belongs to it");
    await store.putManifest(snapshotId, manifest);
  } finally {
    await done();
  }
}

function safeJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Cuts a stream at given lengths. */
function createReader(source: AsyncIterable<Uint8Array>, tooShort: () => Error) {
  const iterator = source[Symbol.asyncIterator]();
  let waiting: Buffer[] = [];
  let length = 0;
  const more = async (): Promise<boolean> => {
    for (;;) {
      const { done, value } = await iterator.next();
      if (done) return false;
      if (value.length === 0) continue;
      waiting.push(Buffer.from(value));
      length += value.length;
      return true;
    }
  };
  const take = (count: number): Buffer => {
    const all = waiting.length === 1 ? (waiting[0] ?? Buffer.alloc(0)) : Buffer.concat(waiting);
    waiting = count === all.length ? [] : [all.subarray(count)];
    length -= count;
    return all.subarray(0, count);
  };
  return {
    async bytes(count: number): Promise<Buffer> {
      while (length < count) if (!(await more())) throw tooShort();
      return take(count);
    },
    async line(longest: number): Promise<string> {
      for (;;) {
        const all = Buffer.concat(waiting);
        const end = all.indexOf(10);
        if (end >= 0) return take(end + 1).toString("utf8", 0, end);
        if (length > longest || !(await more())) throw tooShort();
      }
    },
    isAtEnd: async (): Promise<boolean> => length === 0 && !(await more()),
  };
}
