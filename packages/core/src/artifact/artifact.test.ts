// Snapshots as files over REST: ranges, resumed, with digests, in constant memory. The node's store is a few lines here: what it gives is made on the fly.
import { createHash } from "node:crypto";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { CommandOutcome } from "@aether/contract/gen/aether/v2/agent_pb";
import { ArtifactTransferService } from "@aether/contract/gen/aether/v2/artifact_pb";
import { until } from "@aether/kit";
import { coreSpiffeId, type IdentityMaterial, secureClientOptions } from "@aether/kit/identity";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type ConnectedAgent, type CoreUnderTest, connectAgent, enrol, startCore } from "../testing/core-under-test.ts";

/** 1024 by hand: see docs/benchmarks.md. */
const mebibytes = Number(process.env.AETHER_ARTIFACT_MIB ?? 48);
const pieces = mebibytes * 4;
const pieceBytes = 256 << 10;
let core: CoreUnderTest;
let node: ConnectedAgent;
let snapshotId: string;
/** What the node was given, as its digest. */
const imported = new Map<string, string>();
let peakRss = 0;

function* content() {
  const piece = Buffer.alloc(pieceBytes);
  for (let i = 0; i < pieces; i++) {
    piece.writeUInt32BE(i, 0);
    yield new Uint8Array(piece);
  }
}
const contentSha = () => {
  const hash = createHash("sha256");
  for (const piece of content()) hash.update(piece);
  return hash.digest("hex");
};

function transfersOf(identity: IdentityMaterial) {
  const baseUrl = `https://127.0.0.1:${core.core.agents.port}`;
  const source = { current: () => identity, onRotate: () => () => undefined };
  const sessionManager = new Http2SessionManager(
    baseUrl,
    {},
    { ...secureClientOptions(source, coreSpiffeId("test.local")), servername: "" },
  );
  return createClient(ArtifactTransferService, createGrpcTransport({ baseUrl, sessionManager, readMaxBytes: 8 << 20 }));
}

beforeAll(async () => {
  core = await startCore({ heartbeat: { lostAfterMs: 600_000 } });
  const identity = await enrol(core, "n1");
  const transfers = transfersOf(identity);
  node = await connectAgent(core, identity, async ({ action }) => {
    if (action.case === "exportSnapshot") {
      const { transferId } = action.value;
      await transfers.sendExport(
        (async function* () {
          yield { transferId };
          for (const data of content()) yield { data };
        })(),
      );
    }
    if (action.case === "importSnapshot") {
      const hash = createHash("sha256");
      for await (const { data } of transfers.fetchImport({ transferId: action.value.transferId })) hash.update(data);
      imported.set(action.value.snapshotId, hash.digest("hex"));
    }
    if (action.case === "createSnapshot") return { outcome: CommandOutcome.OK, facts: { case: "snapshot", value: { bytes: 4096n } } };
    return { outcome: CommandOutcome.OK };
  });
  await core.call("POST", "/api/v2/workloads", { spec: { name: "db", rootfs: "host", argv: ["/bin/true"] }, nodeId: "n1" });
  snapshotId = (await core.call("POST", "/api/v2/snapshots", { workload: "db" })).body.snapshot.id;
  const look = setInterval(() => {
    peakRss = Math.max(peakRss, process.memoryUsage().rss);
  }, 20);
  look.unref();
}, 60_000);
afterAll(async () => {
  await node.disconnect();
  await core.stop();
});

const get = (path: string, headers: Record<string, string> = {}, method = "GET") =>
  fetch(core.url + path, { method, headers: { authorization: `Bearer ${core.adminToken}`, ...headers } });
const put = (path: string, body: ReadableStream | Uint8Array, headers: Record<string, string> = {}) =>
  fetch(core.url + path, {
    method: "POST",
    body: body as never,
    duplex: "half",
    headers: { authorization: `Bearer ${core.adminToken}`, "content-type": "application/octet-stream", ...headers },
  } as RequestInit);
const place = () => `/api/v2/artifacts/db/${snapshotId}`;

describe("an artifact", () => {
  let whole: { total: number; sha256: string };

  it("is downloaded whole with its digest, while memory stays as it was", async () => {
    const before = process.memoryUsage().rss;
    peakRss = before;
    const response = await get(place());
    expect([response.status, response.headers.get("accept-ranges")]).toEqual([200, "bytes"]);
    const total = Number(response.headers.get("content-length"));
    expect(total).toBeGreaterThan(pieces * pieceBytes);
    const hash = createHash("sha256");
    let size = 0;
    for await (const chunk of response.body ?? []) {
      hash.update(chunk as Uint8Array);
      size += (chunk as Uint8Array).length;
    }
    const sha256 = hash.digest("hex");
    expect(size).toBe(total);
    expect(response.headers.get("repr-digest")).toBe(`sha-256=:${Buffer.from(sha256, "hex").toString("base64")}:`);
    expect(response.headers.get("etag")).toBe(`"${sha256}"`);
    whole = { total, sha256 };
    // Client, control plane and node are one process here; a copy of the file in memory would show.
    expect((peakRss - before) / 2 ** 20).toBeLessThan(Math.max(160, mebibytes / 2));
    if (mebibytes >= 1024) console.log(`${mebibytes} MiB: resident memory grew by ${((peakRss - before) / 2 ** 20).toFixed(0)} MiB`);
  }, 300_000);

  it("is answered in ranges, and says when there is none", async () => {
    const { total } = whole;
    const first = await get(place(), { range: "bytes=0-99" });
    expect([first.status, first.headers.get("content-range"), (await first.arrayBuffer()).byteLength]).toEqual([
      206,
      `bytes 0-99/${total}`,
      100,
    ]);
    const end = await get(place(), { range: `bytes=${total - 10}-` });
    expect([end.status, end.headers.get("content-range"), (await end.arrayBuffer()).byteLength]).toEqual([
      206,
      `bytes ${total - 10}-${total - 1}/${total}`,
      10,
    ]);
    const none = await get(place(), { range: `bytes=${total}-` });
    expect([none.status, ((await none.json()) as { error: { code: string } }).error.code]).toEqual([416, "RANGE_NOT_SATISFIABLE"]);
    const head = await get(place(), {}, "HEAD");
    expect([head.status, head.headers.get("content-length")]).toEqual([200, String(total)]);
    expect((await get("/api/v2/artifacts/other/snap-0")).status).toBe(404);
  });

  it("is uploaded in two goes, checked, and taken into the store; a second time it is there already", async () => {
    const file = Buffer.from(await (await get(place())).arrayBuffer());
    const digest = { "repr-digest": `sha-256=:${createHash("sha256").update(file).digest("base64")}:` };
    const there = await put("/api/v2/artifacts/db", file, digest);
    expect([there.status, ((await there.json()) as { error: { code: string } }).error.code]).toEqual([409, "SNAPSHOT_EXISTS"]);
    expect((await core.call("DELETE", `/api/v2/snapshots/${snapshotId}`)).status).toBe(200);
    // The client dies in the middle: what has arrived stays.
    const soFar = async () => Number((await core.call("GET", "/api/v2/artifacts/db/uploads/up-1")).body.receivedBytes);
    const half = Math.floor(file.length / 2);
    const broken = new ReadableStream({
      async start(controller) {
        controller.enqueue(file.subarray(0, half));
        await until("something to arrive", 20, 20_000, async () => ((await soFar()) > 0 ? true : undefined));
        controller.error(new Error("gone"));
      },
    });
    await put("/api/v2/artifacts/db?uploadId=up-1", broken, digest).catch(() => undefined);
    // While the control plane has not noticed that the client is gone, nobody else may go on.
    const refusal = await until("the upload to be free", 50, 10_000, async () => {
      const wrong = await put("/api/v2/artifacts/db?uploadId=up-1&offset=5", file.subarray(5), digest);
      const { error } = (await wrong.json()) as { error: { code: string; field: string; details: { receivedBytes: string } } };
      return error.code === "UPLOAD_RUNNING" ? undefined : error;
    });
    const received = await soFar();
    expect(received).toBeGreaterThan(0);
    expect(refusal).toMatchObject({ field: "offset", details: { receivedBytes: String(received) } });
    const rest = await put(`/api/v2/artifacts/db?uploadId=up-1&offset=${received}`, file.subarray(received), digest);
    expect([rest.status, ((await rest.json()) as { snapshot: { id: string } }).snapshot.id]).toEqual([200, snapshotId]);
    expect(imported.get(snapshotId)).toBe(contentSha());
    expect((await core.call("GET", `/api/v2/snapshots/${snapshotId}`)).body.snapshot).toMatchObject({ state: "SNAPSHOT_STATE_READY" });
  }, 120_000);

  it("comes and goes by v1 too: the newest, and back in a form; a form that breaks off leaves nothing", async () => {
    const old = await get("/api/v1/artifacts/download/db", { range: "bytes=0-99" });
    expect([old.status, old.headers.get("content-disposition")]).toEqual([206, `attachment; filename="${snapshotId}.aether"`]);
    expect(old.headers.get("deprecation")).toMatch(/^@/);
    expect((await get("/api/v1/artifacts/download/nobody")).status).toBe(404);
    const file = Buffer.from(await (await get("/api/v1/artifacts/download/db")).arrayBuffer());
    expect((await core.call("DELETE", `/api/v2/snapshots/${snapshotId}`)).status).toBe(200);
    imported.delete(snapshotId);
    const boundary = "a-boundary";
    const head = `--${boundary}\r\ncontent-disposition: form-data; name="note"\r\n\r\nhello\r\n--${boundary}\r\ncontent-disposition: form-data; name="file"; filename="x"\r\ncontent-type: application/octet-stream\r\n\r\n`;
    const form = (body: Buffer) =>
      put("/api/v1/artifacts/upload/db", body, { "content-type": `multipart/form-data; boundary=${boundary}` });
    const broken = await form(Buffer.concat([Buffer.from(head), file.subarray(0, file.length - 10)]));
    const { error } = (await broken.json()) as { error: { code: string; message: string } };
    expect([broken.status, error.code]).toEqual([400, "INVALID_ARGUMENT"]);
    expect((await readdir(join(core.dir, "artifacts"))).filter((name) => name.endsWith(".upload"))).toEqual([]);
    const whole = await form(Buffer.concat([Buffer.from(head), file, Buffer.from(`\r\n--${boundary}--\r\n`)]));
    expect([whole.status, await whole.json()]).toEqual([200, { status: "stored", workloadId: "db", snapshotId, bytes: file.length }]);
    expect(imported.get(snapshotId)).toBe(contentSha());
    const empty = await form(Buffer.from(`--${boundary}--\r\n`));
    expect(((await empty.json()) as { error: { field: string } }).error.field).toBe("file");
    const noForm = await put("/api/v1/artifacts/upload/db", Buffer.from("{}"), { "content-type": "application/json" });
    expect(noForm.status).toBe(415);
  }, 120_000);

  it("is refused with another digest, without one, with another type, and when it is something else", async () => {
    const body = Buffer.from("not a snapshot\nat all");
    const code = async (response: Response) => ((await response.json()) as { error: { code: string } }).error.code;
    expect(await code(await put("/api/v2/artifacts/db", body))).toBe("INVALID_ARGUMENT");
    expect(await code(await put("/api/v2/artifacts/db", body, { "repr-digest": `sha-256=:${"A".repeat(43)}=:` }))).toBe("DIGEST_MISMATCH");
    const sha256 = createHash("sha256").update(body).digest("hex");
    expect(await code(await put(`/api/v2/artifacts/db?sha256=${sha256}`, body))).toBe("ARTIFACT_UNREADABLE");
    // What a restore would start is looked at like any other spec.
    const spec = { name: "db", rootfs: "host", argv: ["/bin/true"], address: "192.0.2.9" };
    const forged = Buffer.from(`${JSON.stringify({ format: "aether-snapshot/1", snapshot: { id: "snap-forged", spec } })}\nrest`);
    const its = createHash("sha256").update(forged).digest("hex");
    const refused = (await (await put(`/api/v2/artifacts/db?sha256=${its}`, forged)).json()) as { error: object };
    expect(refused.error).toMatchObject({ code: "INVALID_ARGUMENT", field: "spec.address" });
    expect((await put("/api/v2/artifacts/db", body, { "content-type": "application/json" })).status).toBeGreaterThanOrEqual(400);
    expect((await put("/api/v2/artifacts/db", body, { "content-type": "text/plain" })).status).toBe(415);
  });
});
