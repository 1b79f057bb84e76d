// Snapshots in a bucket: AWS's own client against an emulator of S3 (moto), and against a MinIO server where AETHER_TEST_MINIO names its program.
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startMoto } from "../../packages/core/src/testing/moto-server.ts";
import { createChunkWriter, writeContent } from "../../packages/engine/src/snapshot/content.ts";
import { openS3Store } from "../../packages/engine/src/snapshot/s3-store.ts";
import type { SnapshotStore } from "../../packages/engine/src/snapshot/store.ts";

const signal = new AbortController().signal;
const credentials = { AWS_ACCESS_KEY_ID: "aether-test", AWS_SECRET_ACCESS_KEY: "aether-test-secret", AWS_REGION: "us-east-1" };
let dir: string;
const before: Record<string, string | undefined> = {};
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "aether-s3-"));
  for (const [name, value] of Object.entries(credentials)) {
    before[name] = process.env[name];
    process.env[name] = value;
  }
});
afterAll(async () => {
  await rm(dir, { recursive: true });
  for (const [name, value] of Object.entries(before)) {
    if (value === undefined) delete process.env[name];
    else process.env[name] = value;
  }
});

async function startMinio(): Promise<{ endpoint: string; stop(): Promise<void> } | string> {
  const program = process.env.AETHER_TEST_MINIO;
  if (program === undefined) return "AETHER_TEST_MINIO does not name a MinIO server";
  const port = await new Promise<number>((done) => {
    const server = createServer();
    server.listen(0, "127.0.0.1", () => {
      const at = server.address();
      server.close(() => done(typeof at === "object" && at !== null ? at.port : 0));
    });
  });
  const data = await mkdtemp(join(tmpdir(), "aether-minio-"));
  const child = spawn(program, ["server", "--quiet", "--address", `127.0.0.1:${port}`, data], {
    stdio: "ignore",
    env: { ...process.env, MINIO_ROOT_USER: credentials.AWS_ACCESS_KEY_ID, MINIO_ROOT_PASSWORD: credentials.AWS_SECRET_ACCESS_KEY },
  });
  const endpoint = `http://127.0.0.1:${port}`;
  for (let i = 0; i < 300; i++) {
    if (
      await fetch(`${endpoint}/minio/health/live`).then(
        (answer) => answer.ok,
        () => false,
      )
    )
      break;
    await new Promise((done) => setTimeout(done, 100));
  }
  return {
    endpoint,
    async stop() {
      const ended = new Promise((done) => child.once("exit", done));
      child.kill("SIGKILL");
      await ended;
      await rm(data, { recursive: true });
    },
  };
}

describe.each([
  ["moto", startMoto],
  ["MinIO", startMinio],
] as const)("a bucket of %s", (_, start) => {
  let server: Awaited<ReturnType<typeof start>>;
  let store: SnapshotStore;
  let [endpoint, counter] = ["", 0];
  beforeAll(async () => {
    server = await start();
    if (typeof server === "string") return;
    endpoint = server.endpoint;
    const { CreateBucketCommand, S3Client } = await import("@aws-sdk/client-s3");
    await new S3Client({ endpoint, forcePathStyle: true }).send(new CreateBucketCommand({ Bucket: "snapshots" }));
  }, 150_000);
  afterAll(async () => {
    if (typeof server !== "string") await server?.stop();
  });
  const open = (prefix: string, owner = "n1") => openS3Store({ bucket: "snapshots", prefix, endpoint }, owner);
  const ready = (skip: (reason: string) => void) => {
    if (typeof server === "string") return skip(server);
    store = open(`case-${++counter}/a`);
  };

  it("keeps chunks under their digests: content comes back, what did not change is not written again", async ({ skip }) => {
    ready(skip);
    const bytes = randomBytes(2_500_000);
    await writeFile(join(dir, "file"), bytes);
    const writer = createChunkWriter(store, new Map(), signal);
    const content = await writer.put(join(dir, "file"));
    expect(await writer.has(content)).toBe(true);
    await rm(join(dir, "back"), { force: true });
    await writeContent(store, content, join(dir, "back"), signal);
    const again = createChunkWriter(store, new Map(content.chunks.map((chunk) => [chunk.plain, chunk])), signal);
    await again.put(join(dir, "file"));
    expect(again.counts.newChunks).toBe(0);
    await expect(store.getChunk("0".repeat(64))).rejects.toMatchObject({ code: "SNAPSHOT_CORRUPT" });
  });

  it("lists manifests, the newest first, and knows of none that is not there", async ({ skip }) => {
    ready(skip);
    await store.putManifest("snap-old", Buffer.from("old"));
    await new Promise((done) => setTimeout(done, 1100)); // times of objects are whole seconds
    await store.putManifest("snap-new", Buffer.from("new"));
    expect(await store.listManifests()).toEqual(["snap-new", "snap-old"]);
    expect((await store.getManifest("snap-old"))?.toString()).toBe("old");
    await store.deleteManifest("snap-old");
    expect(await store.getManifest("snap-old")).toBeUndefined();
  });

  it("is swept of what no snapshot needs, by one at a time, and of nothing while one is being made", async ({ skip }) => {
    ready(skip);
    const [used] = await Promise.all(["a", "b", "c"].map((text) => store.putChunk(Buffer.from(text))));
    const end = await store.begin("snap-1", signal);
    expect(await store.sweep(async () => new Set())).toBe(0);
    await open(`case-${counter}/a`, "n2").recover(); // another host's is none of its business
    expect(await store.sweep(async () => new Set())).toBe(0);
    await end();
    let other: number | undefined;
    const gone = await store.sweep(async () => {
      other = await open(`case-${counter}/a`, "n2").sweep(async () => new Set());
      return new Set([used ?? ""]);
    });
    expect([gone, other]).toEqual([2, 0]);
    expect(await store.hasChunk(used ?? "")).toBe(true);
    await store.begin("snap-2", signal); // the host dies
    await open(`case-${counter}/a`).recover();
    expect(await store.sweep(async () => new Set())).toBe(1);
  });

  it("that cannot be reached is not taken for one that has lost something", async ({ skip }) => {
    ready(skip);
    const nowhere = openS3Store({ bucket: "no-such-bucket", prefix: "", endpoint }, "n1");
    await expect(nowhere.putChunk(Buffer.from("a"))).rejects.toMatchObject({
      code: "SNAPSHOT_STORE_UNAVAILABLE",
      message: expect.stringContaining("no-such-bucket"),
    });
    await expect(nowhere.getChunk("0".repeat(64))).rejects.toMatchObject({ code: "SNAPSHOT_STORE_UNAVAILABLE" });
    await expect(nowhere.listManifests()).rejects.toMatchObject({ code: "SNAPSHOT_STORE_UNAVAILABLE" });
  });
});
