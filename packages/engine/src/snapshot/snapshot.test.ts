// The parts of a snapshot without a workload: the store, the seals, the cuts. With one: tests/e2e/engine/move.test.ts.
import { createHash, randomBytes } from "node:crypto";
import { link, lstat, mkdir, mkdtemp, readdir, readFile, rename, rm, symlink, utimes, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run } from "@aether/kit";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createChunkWriter, writeContent } from "./content.ts";
import { type ChunkRef, type Content, readBody, readHead, type TreeEntry, writeManifest } from "./manifest.ts";
import { planPages, type StoredRun } from "./pages.ts";
import { removeSnapshot } from "./remove.ts";
import { packChunk, unpackChunk } from "./sealed.ts";
import { openDirectoryStore, type SnapshotStore } from "./store.ts";
import { restoreTree, storeTree } from "./trees.ts";

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

  it("holds no more than a chunk may have: a few kilobytes do not become gigabytes of the agent's memory", async () => {
    const packed = await packChunk(Buffer.alloc((64 << 20) + 1));
    expect(packed.bytes.length).toBeLessThan(10_000);
    await expect(unpackChunk(packed.bytes, packed.key)).rejects.toMatchObject({ code: "SNAPSHOT_CORRUPT" });
  });

  it("of a manifest names its chunks to everybody and its content to nobody; any flipped byte is found", () => {
    const body = {
      workload: "db",
      stdio: { stdout: 1, stderr: 2 },
      images: [{ name: "core-1.img", bytes: 5, sha256: "aa", chunks: [{ id: "c2".repeat(32), key: "a2V5", plain: "p", bytes: 5 }] }],
      trees: [],
      filesDigest: "ff",
    };
    const { bytes } = writeManifest("snap-1", 7, body, key);
    expect(readHead("snap-1", bytes).head).toMatchObject({ workload: "db", chunks: ["c2".repeat(32)], keyId: "k1" });
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

describe("what a snapshot says of files", () => {
  const root = { path: "", type: "dir", mode: 0o755, uid: 0, gid: 0, mtimeNs: "0" } as const;
  const file = (path: string, more: Partial<TreeEntry> = {}): TreeEntry => ({ ...root, path, type: "fifo", ...more });
  it.each<[string, TreeEntry[]]>([
    ["above the root", [root, file("../precious")]],
    ["above it in the middle", [root, file("a", { type: "dir" }), file("a/../../precious")]],
    ["at the root of the host", [root, file("/precious")]],
    ["behind a link that it has made", [root, file("a", { type: "link", target: ".." }), file("a/precious")]],
    [
      "in the place of a directory that it had",
      [root, file("a", { type: "dir" }), file("a", { type: "link", target: ".." }), file("a/precious")],
    ],
    ["in a directory that it has not", [root, file("a/precious")]],
    ["that is another name of one outside", [root, file("a", { sameAs: true, target: "../precious" })]],
    ["instead of the root", [file("", { type: "link", target: ".." })]],
  ])("is refused before anything is made: %s", async (_, entries) => {
    await writeFile(join(dir, "precious"), "untouched");
    const restored = restoreTree(join(dir, "tree"), entries, store, "/bin/true", signal);
    await expect(restored).rejects.toMatchObject({ code: "SNAPSHOT_CORRUPT" });
    expect(await readdir(dir)).toEqual(["precious"]);
  });

  it("comes back as it was: links that lead outside, sockets, names that are not UTF-8; also where a restore before was killed", async () => {
    const tree = join(dir, "tree");
    await mkdir(join(tree, "a..b/c"), { recursive: true });
    await writeFile(join(tree, "a..b/c/file"), "state");
    await link(join(tree, "a..b/c/file"), join(tree, "also"));
    await symlink("../precious", join(tree, "out"));
    await run("mkfifo", [join(tree, "pipe")], { deadlineMs: 5_000 });
    await rename(join(tree, "pipe"), Buffer.from(`${tree}/caf\xe9`, "latin1"));
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(join(tree, "socket"), resolve));
    const entries = await storeTree({ name: "layer", path: tree }, createChunkWriter(store, new Map(), signal), "/bin/true", []);
    server.close();

    // What an agent leaves that is killed between the making of a socket and its second name: a name that is in use.
    const back = join(dir, "back");
    await restoreTree(back, entries, store, "/bin/true", signal);
    await rm(back, { recursive: true });
    await writeFile(join(dir, `.${createHash("sha256").update(back).digest("hex").slice(0, 8)}`), "");
    await restoreTree(back, entries, store, "/bin/true", signal);
    const names = await readdir(back, { recursive: true, encoding: "latin1" as BufferEncoding });
    expect(names.sort()).toEqual(["a..b", "a..b/c", "a..b/c/file", "also", "caf\xe9", "out", "socket"]);
    expect(await readFile(join(back, "also"), "utf8")).toBe("state");
    expect((await lstat(join(back, "socket"))).isSocket()).toBe(true);
    await expect(restoreTree(back, entries, store, "/bin/true", signal)).rejects.toThrow(/EEXIST/);
  });

  it("names no image with a path", () => {
    const body = { workload: "db", stdio: { stdout: 1, stderr: 2 }, trees: [], filesDigest: "ff" };
    const images = [{ name: "../core-1.img", bytes: 0, sha256: "", chunks: [] }];
    expect(() => readBody("snap-1", writeManifest("snap-1", 7, { ...body, images }, key).bytes, key)).toThrow(/form/);
  });
});

const chunkCount = async () => (await readdir(join(dir, "store/chunks"), { recursive: true })).filter((name) => name.includes("/")).length;

describe("the sweep", () => {
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

describe("a snapshot that will not be", () => {
  it("leaves no marker when it cannot even begin: the sweep, which makes room, would wait for it", async () => {
    await mkdir(join(dir, "store"));
    await writeFile(join(dir, "store/sweep"), ""); // one that is under way, and that the beginning waits for
    await expect(store.begin("snap-1", AbortSignal.timeout(50))).rejects.toThrow();
    expect(await readdir(join(dir, "store/pending"))).toEqual([]);
  });

  it("fails where one of its chunks cannot be written, whichever is the first to fail, and knows what was", async () => {
    const full = Object.assign(new Error("no space left"), { code: "ENOSPC" });
    let count = 0;
    // The second of four that are under way fails at once, while the first one is waited for.
    const putChunk: SnapshotStore["putChunk"] = async (bytes) => {
      if (++count > 1) throw full;
      await new Promise((resolve) => setTimeout(resolve, 20));
      return store.putChunk(bytes);
    };
    await writeFile(join(dir, "file"), randomBytes(4 << 20));
    const writer = createChunkWriter({ ...store, putChunk }, new Map(), signal);
    await expect(writer.put(join(dir, "file"))).rejects.toBe(full);
    expect(await writer.written()).toHaveLength(1);
  });

  it("knows which chunks are its own, to take them back, and which an earlier one needs", async () => {
    const [kept, file] = [join(dir, "kept"), join(dir, "file")];
    await writeFile(kept, "of before");
    await writeFile(file, "new");
    const before = await createChunkWriter(store, new Map(), signal).put(kept);
    const writer = createChunkWriter(store, new Map(before.chunks.map((chunk) => [chunk.plain, chunk])), signal);
    await writer.put(kept);
    const { chunks } = await writer.put(file);
    expect(await writer.written()).toEqual([chunks[0]!.id]);
    for (const id of await writer.written()) await store.deleteChunk(id);
    await writeContent(store, before, join(dir, "back"), signal);
    await expect(store.getChunk(chunks[0]!.id)).rejects.toMatchObject({ code: "SNAPSHOT_CORRUPT" });
  });
});

describe("pages", () => {
  const page = (fill: number) => Buffer.alloc(4096, fill);

  it("that were not written since are named where they lie, and come back with those that were", async () => {
    const image = join(dir, "pages-1.img");
    const runs = [{ address: 0x40000, pages: 4 }];
    await writeFile(image, Buffer.concat([1, 2, 3, 4].map(page)));
    const first = await createChunkWriter(store, new Map(), signal).putPages(image, planPages(runs, [], []));
    await writeFile(image, Buffer.concat([page(0), page(9), page(0), page(0)])); // holes but for the second page
    const writer = createChunkWriter(store, new Map(), signal);
    const second = await writer.putPages(image, planPages(runs, [[0, 1], [2, 2]], first.runs)); // biome-ignore format: pairs
    expect(writer.counts.bytes).toBe(4096);
    await writeContent(store, second.content, join(dir, "back"), signal);
    expect((await readFile(join(dir, "back"))).equals(Buffer.concat([1, 9, 3, 4].map(page)))).toBe(true);
    const older = { ...second.content, slices: first.content.slices ?? [] };
    await expect(writeContent(store, older, join(dir, "back-2"), signal)).rejects.toMatchObject({ code: "SNAPSHOT_CORRUPT" });
  });

  it("stay while a later snapshot needs them, however old the one that wrote them", async () => {
    const image = join(dir, "pages-1.img");
    const runs = [{ address: 0x40000, pages: 128 }]; // two stretches, each a chunk
    const keep = async (id: string, content: Content) => {
      const body = {
        workload: "db",
        stdio: { stdout: 1, stderr: 2 },
        images: [{ name: "pages-1.img", ...content }],
        trees: [],
        filesDigest: "ff",
      };
      await store.putManifest(id, writeManifest(id, 1, body, key).bytes);
    };
    await writeFile(image, Buffer.concat(Array.from({ length: 128 }, (_, i) => page(i + 1))));
    const first = await createChunkWriter(store, new Map(), signal).putPages(image, planPages(runs, [], []));
    await keep("snap-1", first.content);
    const alone = await chunkCount();
    // All of the first stretch was written since, and nothing of the second.
    await writeFile(image, Buffer.concat(Array.from({ length: 128 }, (_, i) => page(i < 64 ? 200 : 0))));
    const second = await createChunkWriter(store, new Map(), signal).putPages(image, planPages(runs, [[64, 64]], first.runs));
    await keep("snap-2", second.content);
    expect(await chunkCount()).toBe(alone + 1);

    await removeSnapshot(store, "snap-1");
    expect(await store.listManifests()).toEqual(["snap-2"]);
    expect(await chunkCount()).toBe(alone); // what only the first one needed went
    await writeContent(store, second.content, join(dir, "back"), signal);
    const bytes = await readFile(join(dir, "back"));
    expect([0, 63, 64, 127].map((i) => bytes[i * 4096])).toEqual([200, 200, 65, 128]);

    // Of one that cannot be read nobody knows what it needs: nothing is swept.
    await writeFile(join(dir, "store/manifests/snap-0"), "not a manifest");
    await expect(removeSnapshot(store, "snap-2")).rejects.toMatchObject({ code: "SNAPSHOT_CORRUPT" });
    expect(await chunkCount()).toBe(alone);
    await store.deleteManifest("snap-0");
    await removeSnapshot(store, "snap-2");
    expect(await chunkCount()).toBe(0);
  });

  it("of a stretch that lies in too many chunks are put together anew, from what is stored", async () => {
    const image = join(dir, "pages-1.img");
    const runs = [{ address: 0, pages: 64 }];
    await writeFile(image, Buffer.concat(Array.from({ length: 64 }, (_, i) => page(i))));
    let stored: readonly StoredRun[] = (await createChunkWriter(store, new Map(), signal).putPages(image, planPages(runs, [], []))).runs;
    for (let i = 0; i < 12; i++) {
      // Every fifth page is written, one at a time: the stretch falls into two pieces more each time.
      const at = i * 5;
      await writeFile(image, Buffer.concat(Array.from({ length: 64 }, (_, k) => page(k === at ? 100 + i : 0))));
      const holes = [...(at > 0 ? [[0, at] as const] : []), [at + 1, 63 - at] as const];
      const put = await createChunkWriter(store, new Map(), signal).putPages(image, planPages(runs, holes, stored));
      stored = put.runs;
      expect(new Set(stored.map(({ chunk }) => chunk.id)).size).toBeLessThanOrEqual(8);
      await rm(join(dir, "back"), { force: true });
      await writeContent(store, put.content, join(dir, "back"), signal);
    }
    const bytes = await readFile(join(dir, "back"));
    expect(Array.from({ length: 64 }, (_, i) => bytes[i * 4096])).toEqual(
      Array.from({ length: 64 }, (_, i) => (i % 5 === 0 && i / 5 < 12 ? 100 + i / 5 : i)),
    );
  });
});
