// The parts of a snapshot without a workload: the store, the seals, the cuts. With one: tests/e2e/engine/move.test.ts.
import { randomBytes } from "node:crypto";
import { mkdir, mkdtemp, readdir, readFile, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createChunkWriter, writeContent } from "./content.ts";
import { type ChunkRef, readBody, readHead, writeManifest } from "./manifest.ts";
import { pageCuts } from "./pages.ts";
import { packChunk, unpackChunk } from "./sealed.ts";
import { openDirectoryStore, type SnapshotStore } from "./store.ts";

let dir: string;
let store: SnapshotStore;
const signal = new AbortController().signal;
const key = { id: "k1", key: new Uint8Array(32).fill(1) };
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "aether-snapshot-"));
  store = openDirectoryStore(join(dir, "store"), "n1");
});
afterEach(() => rm(dir, { recursive: true }));

describe("content", () => {
  it("comes back as it was; what did not change is not written again; what is equal is written once", async () => {
    const file = join(dir, "file");
    const bytes = randomBytes(3_000_000);
    bytes.copy(bytes, 1 << 20, 0, 1 << 20); // the second piece is the first one again
    await writeFile(file, bytes);
    const first = createChunkWriter(store, new Map(), signal);
    const content = await first.put(file);
    expect(first.counts).toMatchObject({ chunks: 3, newChunks: 2, bytes: 3_000_000 });
    await writeContent(store, content, join(dir, "back"), signal);
    expect((await readFile(join(dir, "back"))).equals(bytes)).toBe(true);

    bytes[2_500_000] = (bytes[2_500_000] ?? 0) ^ 1;
    await writeFile(file, bytes);
    const known = new Map<string, ChunkRef>(content.chunks.map((chunk) => [chunk.plain, chunk]));
    const second = createChunkWriter(store, known, signal);
    const changed = await second.put(file);
    expect(second.counts.newChunks).toBe(1);
    expect(await second.has(changed)).toBe(true);
  });

  it("that was changed in the store is refused", async () => {
    await writeFile(join(dir, "file"), "state");
    const content = await createChunkWriter(store, new Map(), signal).put(join(dir, "file"));
    const id = content.chunks[0]!.id;
    const path = join(dir, "store/chunks", id.slice(0, 2), id);
    const bytes = await readFile(path);
    bytes[3] = (bytes[3] ?? 0) ^ 1;
    await writeFile(path, bytes);
    await expect(writeContent(store, content, join(dir, "back"), signal)).rejects.toMatchObject({ code: "SNAPSHOT_CORRUPT" });
  });
});

describe("the seal", () => {
  it("hides the content, and opens with its key alone", async () => {
    const packed = await packChunk(Buffer.from("secret ".repeat(100)));
    expect(packed.bytes.includes("secret")).toBe(false);
    expect((await unpackChunk(packed.bytes, packed.key)).toString()).toBe("secret ".repeat(100));
    await expect(unpackChunk(packed.bytes, randomBytes(32))).rejects.toMatchObject({ code: "SNAPSHOT_CORRUPT" });
  });

  it("of a manifest names its chunks to everybody and its content to nobody; any flipped byte is found", () => {
    const body = {
      workload: "db",
      stdio: { stdout: 1, stderr: 2 },
      images: [{ name: "core-1.img", bytes: 5, sha256: "aa", chunks: [{ id: "c2", key: "a2V5", plain: "p", bytes: 5 }] }],
      trees: [],
      filesDigest: "ff",
    };
    const { bytes } = writeManifest("snap-1", 7, body, key);
    expect(readHead("snap-1", bytes).head).toMatchObject({ workload: "db", chunks: ["c2"], keyId: "k1" });
    expect(bytes.includes("core-1")).toBe(false);
    expect(readBody("snap-1", bytes, key)).toEqual(body);
    expect(() => readBody("snap-1", bytes, { ...key, key: new Uint8Array(32) })).toThrow(/cannot be decrypted/);
    expect(() => readBody("snap-1", bytes, { ...key, id: "k2" })).toThrow(/cluster key k1/);
    expect(() => readHead("snap-2", bytes)).toThrow(/that of snap-1/);
    for (let at = bytes.indexOf(10) + 1; at < bytes.length; at += 7) {
      const flipped = Buffer.from(bytes);
      flipped[at] = (flipped[at] ?? 0) ^ 1;
      expect(() => readBody("snap-1", flipped, key)).toThrow(/changed/);
    }
  });
});

describe("the sweep", () => {
  const chunkCount = async () =>
    (await readdir(join(dir, "store/chunks"), { recursive: true })).filter((name) => name.includes("/")).length;

  it("takes what no snapshot needs, and nothing while one is being made", async () => {
    const [used] = await Promise.all(["a", "b", "c"].map((text) => store.putChunk(Buffer.from(text))));
    const end = await store.begin("snap-1", signal);
    expect(await store.sweep(async () => new Set())).toBe(0);
    expect(await chunkCount()).toBe(3);
    await openDirectoryStore(join(dir, "store"), "n2").recover(); // another host's is none of its business
    expect(await store.sweep(async () => new Set())).toBe(0);
    await end();
    expect(await store.sweep(async () => new Set([used!]))).toBe(2);
    expect(await chunkCount()).toBe(1);
  });

  it("is not held up for ever by what a crash left", async () => {
    await store.putChunk(Buffer.from("a"));
    const old = new Date(Date.now() - 7_200_000);
    await mkdir(join(dir, "store/pending"), { recursive: true });
    for (const marker of ["pending/snap-dead", "sweep"]) {
      await writeFile(join(dir, "store", marker), "");
      await utimes(join(dir, "store", marker), old, old);
    }
    expect(await store.sweep(async () => new Set())).toBe(0); // this one only cleared the way
    expect(await store.sweep(async () => new Set())).toBe(1);
  });
});

describe("pages", () => {
  it("are cut at addresses: a page that comes in front changes one chunk", async () => {
    const varint = (value: bigint): number[] => (value < 128n ? [Number(value)] : [Number(value & 127n) | 128, ...varint(value >> 7n)]);
    const message = (...fields: [number, bigint][]) => {
      const body = Buffer.from(fields.flatMap(([field, value]) => [field << 3, ...varint(value)]));
      const length = Buffer.alloc(4);
      length.writeUInt32LE(body.length);
      return Buffer.concat([length, body]);
    };
    const image = async (...ranges: [bigint, bigint, bigint][]) => {
      const magic = Buffer.alloc(8);
      magic.writeUInt32LE(0x54564319, 0);
      const entries = ranges.map(([address, count, flags]) => message([1, address], [2, count], [4, flags]));
      await writeFile(join(dir, "pagemap-1.img"), Buffer.concat([magic, message([1, 3n]), ...entries]));
      return pageCuts(join(dir, "pagemap-1.img"));
    };
    expect(await image([0x10000n, 100n, 4n], [0x7f0000000000n, 1n, 4n])).toEqual({ pagesId: 3, lengths: [48 * 4096, 52 * 4096, 4096] });
    expect((await image([0xf000n, 101n, 4n], [0x7f0000000000n, 1n, 4n])).lengths).toEqual([49 * 4096, 52 * 4096, 4096]);
    expect((await image([0x10000n, 100n, 1n])).lengths).toEqual([]); // in an earlier dump, not in this image
  });
});
