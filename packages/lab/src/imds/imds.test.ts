// The metadata service over real HTTP, and its control socket. What is asserted is what the EC2 user guide says.
import { mkdtemp, rm, stat } from "node:fs/promises";
import { request as httpRequest, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createManualClock, type Stoppable, silentLogger } from "@aether/kit";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { cloudLayout } from "../layout.ts";
import { openControl } from "./control.ts";
import { type Announcements, createAnnouncements } from "./interruptions.ts";
import { createMetadataServer } from "./server.ts";

const cloud = cloudLayout({ nodeCount: 2 });
const startMs = Date.UTC(2026, 0, 31, 8, 20, 0);
let clock: ReturnType<typeof createManualClock>;
let announcements: Announcements;
let server: Server;
let base: string;

beforeEach(async () => {
  clock = createManualClock(startMs);
  announcements = createAnnouncements(["n1", "n2"], clock);
  const nodeOf = (request: { headers: Record<string, unknown> }) =>
    cloud.nodes.find((node) => node.id === (request.headers["x-test-node"] ?? "n1"));
  server = createMetadataServer({ cloud, announcements, clock, nodeOf });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterEach(() => {
  server.closeAllConnections();
  server.close();
});

const put = (headers: Record<string, string>, method = "PUT") => fetch(`${base}/latest/api/token`, { method, headers });
const token = async (node = "n1", ttl = "60") => (await put({ "x-aws-ec2-metadata-token-ttl-seconds": ttl, "x-test-node": node })).text();
const get = async (path: string, withToken?: string, node = "n1") => {
  const headers = { "x-test-node": node, "x-aws-ec2-metadata-token": withToken ?? (await token(node)) };
  return fetch(`${base}${path}`, { headers });
};

describe("session token", () => {
  it("is issued with its time to live echoed", async () => {
    const response = await put({ "x-aws-ec2-metadata-token-ttl-seconds": "21600" });
    expect(response.status).toBe(200);
    expect(response.headers.get("x-aws-ec2-metadata-token-ttl-seconds")).toBe("21600");
    expect(response.headers.get("server")).toBe("EC2ws");
    expect((await response.text()).length).toBeGreaterThan(40);
  });
  it.each(["0", "21601", "-1", "abc", "", "1.5", "99999999"])("refuses a time to live of %j with 400", async (ttl) => {
    expect((await put({ "x-aws-ec2-metadata-token-ttl-seconds": ttl })).status).toBe(400);
  });
  it("refuses a missing time to live with 400, a proxied request with 403, another method with 405", async () => {
    expect((await put({})).status).toBe(400);
    expect((await put({ "x-aws-ec2-metadata-token-ttl-seconds": "60", "x-forwarded-for": "10.0.0.9" })).status).toBe(403);
    expect((await put({ "x-aws-ec2-metadata-token-ttl-seconds": "60" }, "GET")).status).toBe(405);
  });
  it("is needed for every read; an unknown, foreign or expired one is 401", async () => {
    expect((await fetch(`${base}/latest/meta-data/instance-id`)).status).toBe(401);
    expect((await get("/latest/meta-data/instance-id", "nonsense")).status).toBe(401);
    const ofN1 = await token("n1", "60");
    expect((await get("/latest/meta-data/instance-id", ofN1, "n2")).status).toBe(401);
    expect((await get("/latest/meta-data/instance-id", ofN1)).status).toBe(200);
    clock.advance(59_999);
    expect((await get("/latest/meta-data/instance-id", ofN1)).status).toBe(200);
    clock.advance(1);
    expect((await get("/latest/meta-data/instance-id", ofN1)).status).toBe(401);
  });
});

describe("metadata", () => {
  const text = async (path: string, node = "n1") => (await get(path, undefined, node)).text();
  it("tells each node its own facts", async () => {
    for (const node of cloud.nodes) {
      expect(await text("/latest/meta-data/instance-id", node.id)).toBe(node.instanceId);
      expect(await text("/latest/meta-data/local-ipv4", node.id)).toBe(node.address);
      expect(await text("/latest/meta-data/placement/availability-zone", node.id)).toBe(node.zone);
      expect(await text("/latest/meta-data/placement/availability-zone-id", node.id)).toBe(node.zoneId);
    }
    expect(await text("/latest/meta-data/instance-life-cycle")).toBe("spot");
    expect(await text("/latest/meta-data/placement/region")).toBe("us-east-1");
    const document = JSON.parse(await text("/latest/dynamic/instance-identity/document", "n2"));
    expect(document).toMatchObject({ instanceId: cloud.nodes[1]!.instanceId, privateIp: "10.77.0.12", region: "us-east-1" });
  });
  it("lists branches, with a slash after those that have branches of their own", async () => {
    const names = (await text("/latest/meta-data/")).split("\n");
    expect(names).toContain("placement/");
    expect(names).toContain("instance-id");
    expect(names).not.toContain("spot/");
    expect(await text("/latest/meta-data/placement/")).toBe("availability-zone\navailability-zone-id\nregion");
  });
  it("answers 404 for what does not exist, also for names that every object has", async () => {
    for (const path of [
      "/latest/meta-data/nope",
      "/latest/meta-data/instance-id/x",
      "/latest/meta-data/constructor",
      "/latest/meta-data/__proto__",
      "/%FF",
    ]) {
      expect((await get(path)).status, path).toBe(path === "/%FF" ? 400 : 404);
    }
  });
  it("refuses writes and unknown instances", async () => {
    expect((await fetch(`${base}/latest/meta-data/instance-id`, { method: "POST" })).status).toBe(405);
    expect((await get("/latest/meta-data/instance-id", "x", "n9")).status).toBe(403);
  });
});

describe("announcements", () => {
  it("are 404 until made, then as AWS words them, then 404 again", async () => {
    const action = "/latest/meta-data/spot/instance-action";
    expect((await get(action)).status).toBe(404);
    announcements.announce({ nodeId: "n1", kind: "notice", afterSeconds: 120 });
    expect(await (await get(action)).json()).toEqual({ action: "terminate", time: "2026-01-31T08:22:00Z" });
    expect(await (await get("/latest/meta-data/spot/termination-time")).text()).toBe("2026-01-31T08:22:00Z");
    expect((await get(action, undefined, "n2")).status).toBe(404);
    announcements.withdraw("n1");
    expect((await get(action)).status).toBe(404);
  });
  it("tell a rebalance recommendation apart from a notice", async () => {
    const rebalance = "/latest/meta-data/events/recommendations/rebalance";
    expect((await get(rebalance, undefined, "n2")).status).toBe(404);
    announcements.announce({ nodeId: "n2", kind: "rebalance", afterSeconds: 120 });
    expect(await (await get(rebalance, undefined, "n2")).json()).toEqual({ noticeTime: "2026-01-31T08:20:00Z" });
    expect((await get("/latest/meta-data/spot/instance-action", undefined, "n2")).status).toBe(404);
  });
});

describe("control socket", () => {
  let dir: string;
  let control: Stoppable;
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), "aether-control-"));
    control = await openControl({ socket: join(dir, "lab.sock"), announcements, reclaim: "keep", log: silentLogger });
  });
  afterEach(async () => {
    await control.stop();
    await rm(dir, { recursive: true });
  });
  const call = (method: string, path: string, body?: string) =>
    new Promise<{ status: number; body: Record<string, unknown> }>((resolve, reject) => {
      const request = httpRequest({ socketPath: join(dir, "lab.sock"), method, path }, async (response) => {
        const chunks: Buffer[] = [];
        for await (const chunk of response) chunks.push(chunk);
        resolve({ status: response.statusCode ?? 0, body: JSON.parse(Buffer.concat(chunks).toString()) });
      });
      request.on("error", reject);
      request.end(body);
    });

  it("may be opened by its owner only", async () => {
    expect((await stat(join(dir, "lab.sock"))).mode & 0o777).toBe(0o600);
  });
  it("announces, lists and withdraws", async () => {
    const made = await call("POST", "/interruptions", JSON.stringify({ nodeId: "n1", kind: "notice", afterSeconds: 30 }));
    expect(made).toEqual({
      status: 200,
      body: { nodeId: "n1", kind: "notice", announcedAt: "2026-01-31T08:20:00.000Z", effectiveAt: "2026-01-31T08:20:30.000Z" },
    });
    expect((await call("GET", "/interruptions")).body).toEqual({ interruptions: [made.body], reclaim: "keep" });
    expect(await call("DELETE", "/interruptions/n1")).toEqual({ status: 200, body: { nodeId: "n1", withdrawn: 1 } });
    expect((await call("DELETE", "/interruptions/n1")).body).toEqual({ nodeId: "n1", withdrawn: 0 });
  });
  it.each([
    ["not json", 400, ""],
    [JSON.stringify({ nodeId: "n1", kind: "quake" }), 400, "kind"],
    [JSON.stringify({ nodeId: "n1", kind: "notice", afterSeconds: -1 }), 400, "afterSeconds"],
    [JSON.stringify({ nodeId: "n1", kind: "notice", extra: 1 }), 400, "extra"],
    [JSON.stringify({ nodeId: "n7", kind: "notice" }), 404, "nodeId"],
  ])("refuses %s and names the field", async (body, status, field) => {
    const answer = await call("POST", "/interruptions", body);
    expect(answer.status).toBe(status);
    expect((answer.body as { error: { field?: string } }).error.field ?? "").toBe(field);
    expect(announcements.list()).toEqual([]);
  });
});
