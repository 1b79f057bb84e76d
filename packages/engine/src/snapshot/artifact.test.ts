// A snapshot leaves one store as a stream and comes into another one as it was; a stream that is not what it says changes nothing that can be restored.
import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { exportSnapshot, importSnapshot } from "./artifact.ts";
import { type SnapshotBody, writeManifest } from "./manifest.ts";
import { openDirectoryStore, type SnapshotStore } from "./store.ts";

let dir: string;
let here: SnapshotStore;
let there: SnapshotStore;
let stream: Buffer;
const signal = new AbortController().signal;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "aether-artifact-"));
  here = openDirectoryStore(join(dir, "here"), "a");
  there = openDirectoryStore(join(dir, "there"), "b");
  const chunks = [];
  for (const size of [10, 300_000, 1]) {
    const id = await here.putChunk(randomBytes(size));
    chunks.push({ id, key: "", plain: "", bytes: size });
  }
  const body: SnapshotBody = {
    workload: "db",
    stdio: { stdout: 0, stderr: 0 },
    images: [{ name: "core-1.img", bytes: 1, sha256: "", chunks }],
    trees: [],
    filesDigest: "",
  };
  await here.putManifest("snap-1", writeManifest("snap-1", 0, body, { id: "k", key: new Uint8Array(32) }).bytes);
  const parts: Buffer[] = [];
  for await (const part of exportSnapshot(here, "snap-1")) parts.push(part);
  stream = Buffer.concat(parts);
});
afterAll(() => rm(dir, { recursive: true, force: true }));

async function* pieces(bytes: Buffer, size: number) {
  for (let at = 0; at < bytes.length; at += size) yield new Uint8Array(bytes.subarray(at, at + size));
}
const take = (bytes: Buffer, size = 1_000, id = "snap-1") => importSnapshot(there, id, pieces(bytes, size), signal);

describe("a snapshot as a stream", () => {
  it("is refused when it is cut, changed, longer or another's, and nothing of it can be restored", async () => {
    const changed = Buffer.from(stream);
    changed[stream.length - 1] = (changed[stream.length - 1] ?? 0) ^ 1;
    for (const [what, bytes] of [
      ["cut", stream.subarray(0, stream.length - 1)],
      ["nothing", Buffer.alloc(0)],
      ["changed", changed],
      ["longer", Buffer.concat([stream, Buffer.from("x")])],
      ["no stream", Buffer.from("hello\nworld")],
      ["endless line", Buffer.alloc(10_000, 0x61)],
    ] as const) {
      await expect(take(bytes), what).rejects.toMatchObject({ code: "SNAPSHOT_CORRUPT" });
      expect(await there.getManifest("snap-1"), what).toBeUndefined();
    }
    await expect(take(stream, 1_000, "snap-2")).rejects.toMatchObject({ code: "SNAPSHOT_CORRUPT" });
    await expect(exportSnapshot(here, "snap-9").next()).rejects.toMatchObject({ code: "SNAPSHOT_NOT_FOUND" });
  });

  it("whose manifest names a file of the node for a chunk is refused, wherever that file is", async () => {
    const chunk = { id: "../../../../../etc/passwd", key: "", plain: "", bytes: 1 };
    const body: SnapshotBody = {
      workload: "db",
      stdio: { stdout: 0, stderr: 0 },
      images: [{ name: "core-1.img", bytes: 1, sha256: "", chunks: [chunk] }],
      trees: [],
      filesDigest: "",
    };
    const { bytes } = writeManifest("snap-3", 0, body, { id: "k", key: new Uint8Array(32) });
    const head = { format: "aether-artifact/1", snapshotId: "snap-3", manifestBytes: bytes.length, chunks: 0 };
    await expect(take(Buffer.concat([Buffer.from(`${JSON.stringify(head)}\n`), bytes]), 1_000, "snap-3")).rejects.toMatchObject({
      message: expect.stringContaining("its manifest cannot be read"),
    });
    expect(await there.getManifest("snap-3")).toBeUndefined();
  });

  it("comes as it was, whatever the pieces, and twice", async () => {
    for (const size of [7_777, 1 << 20]) {
      await take(stream, size);
      const parts: Buffer[] = [];
      for await (const part of exportSnapshot(there, "snap-1")) parts.push(part);
      expect(Buffer.concat(parts).equals(stream)).toBe(true);
    }
  });
});
