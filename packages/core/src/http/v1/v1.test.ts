// v1 as an old client sees it: every route that there was, served by what replaces it.
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type CoreUnderTest, connectAgent, enrol, startCore } from "../../testing/core-under-test.ts";
import { v1Routes } from "./routes.ts";
import { sunsetAt } from "./serve.ts";

let core: CoreUnderTest;
let node: Awaited<ReturnType<typeof connectAgent>>;
beforeAll(async () => {
  core = await startCore();
  node = await connectAgent(core, await enrol(core, "n1"));
}, 60_000);
afterAll(async () => {
  await node.disconnect();
  await core.stop();
});

const call = async (verb: string, path: string, body?: unknown, headers: Record<string, string> = { "x-api-key": core.adminToken }) => {
  const response = await fetch(`${core.url}/api/v1${path}`, {
    method: verb,
    headers: { ...headers, ...(body === undefined ? {} : { "content-type": "application/json" }) },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const isJson = response.headers.get("content-type")?.startsWith("application/json");
  return {
    status: response.status,
    headers: response.headers,
    body: (isJson ? await response.json() : Buffer.from(await response.arrayBuffer())) as any,
  };
};
const now = () => Math.floor(Date.now() / 1000);

describe("every route of v1", () => {
  it("says that it is deprecated, until when it is there, and where it is written what replaces it", async () => {
    for (const { verb, path } of v1Routes) {
      const { headers, status, body } = await call(verb, path.replace("{workloadId}", "db"), verb === "POST" ? {} : undefined);
      const where = `${verb} ${path}: ${status} ${JSON.stringify(body)}`;
      expect(headers.get("deprecation"), where).toMatch(/^@\d+$/);
      expect(headers.get("sunset"), where).toBe(sunsetAt.toUTCString());
      expect(headers.get("link"), where).toContain('</docs/v1>; rel="deprecation"');
      expect(status, where).toBeLessThan(500);
    }
  });

  it("asks for the same credential as v2, as a bearer or as X-API-Key", async () => {
    const viewer = (await core.call("POST", "/api/v2/tokens", { name: "old", role: "ROLE_VIEWER" })).body.secret;
    expect((await call("GET", "/audits", undefined, {})).body.error.code).toBe("UNAUTHENTICATED");
    expect((await call("GET", "/audits", undefined, { "x-api-key": "an-old-key" })).status).toBe(401);
    expect((await call("GET", "/audits", undefined, { "x-api-key": viewer })).status).toBe(200);
    expect((await call("GET", "/audits", undefined, { authorization: `Bearer ${viewer}` })).status).toBe(200);
    const queue = await call("POST", "/commands/queue", { workloadId: "db", action: "STOP" }, { "x-api-key": viewer });
    expect([queue.status, queue.body.error.code]).toEqual([403, "PERMISSION_DENIED"]);
  });

  it("is on the page and in the documentation", async () => {
    const page = await (await fetch(`${core.url}/docs/v1`)).text();
    const text = readFileSync(new URL("../../../../../docs/reference/v1.md", import.meta.url), "utf8");
    for (const { verb, path } of v1Routes) {
      expect(page).toContain(`${verb} /api/v1${path}`);
      expect(text).toContain(`${verb} /api/v1${path}`);
    }
    expect(page).not.toMatch(/<script|style=/);
  });
});

describe("what v1 still does", () => {
  it("takes a rebalance signal, once, and the fleet hears of it; telemetry alone is told where it goes now", async () => {
    const sent = { agentId: "n1", timestamp: now(), workloadTier: "T1", rebalanceSignal: true, diskAvailable: 1e9 };
    expect(await call("POST", "/ingestion", sent)).toMatchObject({ status: 202, body: { status: "queued", timestamp: sent.timestamp } });
    expect((await call("POST", "/ingestion", sent)).body.status).toBe("duplicate");
    const signals = (await call("GET", "/signals")).body;
    expect(signals.filter((each: { source: string }) => each.source === "v1-ingestion")).toMatchObject([
      { type: "REBALANCE", agentId: "n1" },
    ]);
    const decisions = async () => (await core.call("GET", "/api/v2/decisions")).body.decisions;
    await expect.poll(decisions, { timeout: 10_000 }).toMatchObject([{ signalId: signals[0].id, nodeId: "n1" }]);
    expect((await call("POST", "/ingestion", { ...sent, rebalanceSignal: false })).body.error.code).toBe("GONE");
    expect((await call("POST", "/ingestion", { ...sent, agentId: "nobody" })).body.error.code).toBe("NODE_NOT_FOUND");
    expect((await call("POST", "/ingestion", { ...sent, workloadTier: "T9" })).body.error.field).toBe("workloadTier");
    expect((await call("POST", "/ingestion", { ...sent, timestamp: 1 })).body.error.field).toBe("observedAt");
  });

  it("takes a signal of the market for every Spot node, once each, and takes it back", async () => {
    const signal = (body: object) => call("POST", "/market/signal", body);
    const heard = async () =>
      (await call("GET", "/signals")).body
        .filter(({ source }: { source: string }) => source === "v1-market")
        .map((each: { type: string; agentId: string }) => [each.type, each.agentId]);
    // n1 of these tests does not say what it is.
    expect(await signal({ rebalanceSignal: true })).toMatchObject({ status: 202, body: { status: "nothing to tell", nodes: 0 } });
    const cloud = { provider: "aws", region: "r", zone: "ra", instanceType: "m6i.large", lifecycle: "spot" };
    const spot = await Promise.all(
      ["s1", "s2"].map(async (id) => connectAgent(core, await enrol(core, id), undefined, [], undefined, { hostname: id, cloud })),
    );
    try {
      const at = now();
      expect((await signal({ rebalanceSignal: true, timestamp: at })).body).toEqual({ status: "queued", timestamp: at, nodes: 2 });
      expect((await signal({ rebalanceSignal: true, timestamp: at })).body.status).toBe("duplicate");
      expect((await heard()).sort()).toEqual([
        ["REBALANCE", "s1"],
        ["REBALANCE", "s2"],
      ]);
      const ofPool = (body: object) =>
        core.call("POST", "/api/v2/signals:market", { kind: "SIGNAL_KIND_REBALANCE", source: "feed", ...body });
      expect((await ofPool({ zone: "ra", instanceType: "m6i.large" })).body).toEqual({ nodeIds: ["s1", "s2"], newCount: 2 });
      expect((await ofPool({ zone: "rb" })).body).toEqual({ nodeIds: [], newCount: 0 });
      expect((await ofPool({ kind: "SIGNAL_KIND_NOTICE" })).body.error.field).toBe("kind");
      expect((await signal({ rebalanceSignal: false })).body).toMatchObject({ status: "queued", nodes: 2 });
      expect((await signal({ rebalanceSignal: false })).body).toMatchObject({ status: "nothing to tell", nodes: 0 });
      expect((await signal({ rebalanceSignal: "yes" })).body.error.field).toBe("rebalanceSignal");
      expect((await signal({ rebalanceSignal: true, timestamp: 1 })).body.error.field).toBe("observedAt");
    } finally {
      for (const each of spot) await each.disconnect();
    }
  });

  it("lists who did what, in its own words", async () => {
    const { body } = await call("GET", "/audits");
    expect(body[0]).toMatchObject({
      actor: expect.any(String),
      action: expect.stringMatching(/\./),
      result: expect.stringMatching(/ok|denied|failed/),
    });
  });

  it("answers the dashboard with what is known, and null for what is not", async () => {
    const { status, body } = await call("GET", "/dashboard/latest");
    expect(status).toBe(200);
    expect(body).toHaveProperty("telemetry");
    expect(body).toHaveProperty("analysis");
    expect((await call("GET", "/dashboard/history")).body).toBeInstanceOf(Array);
  });

  it("queues a command by the RPC that does it, and passes its refusals on", async () => {
    for (const action of ["MIGRATE", "CHECKPOINT", "STOP"]) {
      const { body } = await call("POST", "/commands/queue", { workloadId: "none", action });
      expect([action, body.error.code]).toEqual([action, "WORKLOAD_NOT_FOUND"]);
    }
    expect((await call("POST", "/commands/queue", { workloadId: "db", action: "EXEC" })).body.error.field).toBe("action");
    expect((await call("POST", "/commands/queue", { workloadId: "db", action: "STOP", more: 1 })).body.error.field).toBe("more");
  });
});

describe("an agent of v1", () => {
  it("registers, beats, polls and answers with a token that names its node, and speaks for no other", async () => {
    const made = await core.call("POST", "/api/v2/tokens", { name: "old-agent", role: "ROLE_AGENT", nodeId: "old1" });
    expect(made.body.token).toMatchObject({ role: "ROLE_AGENT", nodeId: "old1" });
    const mine = { "x-api-key": made.body.secret };
    expect((await call("POST", "/agent/heartbeat", { agentId: "old1" }, mine)).body).toEqual({ status: "unregistered" });
    expect((await call("POST", "/agent/register", { agentId: "old1", hostname: "h" }, mine)).body).toMatchObject({ status: "registered" });
    expect((await call("POST", "/agent/heartbeat", { agentId: "old1" }, mine)).body).toEqual({ status: "ok" });
    expect((await core.call("GET", "/api/v2/nodes/old1")).body.node).toMatchObject({ isConnected: true, facts: { hostname: "h" } });
    const facts = { memoryBytes: "8589934592", capabilities: { runcVersion: "1.1.5", criu: { available: true } } };
    const bearer = { authorization: `Bearer ${made.body.secret}`, "content-type": "application/json" };
    const hello = await fetch(`${core.url}/api/v2/agent/heartbeat`, {
      method: "POST",
      headers: bearer,
      body: JSON.stringify({ hello: { facts } }),
    });
    expect(await hello.json()).toMatchObject({ needsHello: false, config: { heartbeatIntervalMs: 2000 } });
    const spec = { name: "there", rootfs: "host", argv: ["/bin/true"] };
    const started = core.call("POST", "/api/v2/workloads", { spec, nodeId: "old1" });
    let answer = await call("GET", "/agent/poll?waitSeconds=5", undefined, mine);
    for (let tries = 0; answer.body.commands.length === 0 && tries < 5; tries++)
      answer = await call("GET", `/agent/poll?waitSeconds=5&after=${answer.body.after}`, undefined, mine);
    const [command] = answer.body.commands;
    expect(command).toMatchObject({ workloadId: "there", action: "startWorkload" });
    // Asked for again, it is there again: an answer may be lost on its way.
    expect((await call("GET", "/agent/poll", undefined, mine)).body.commands).toContainEqual(command);
    expect((await call("POST", "/agent/feedback", { commandId: command.commandId, status: "COMPLETED" }, mine)).body).toEqual({
      status: "recorded",
    });
    expect((await started).status).toBe(200);
    expect((await core.call("GET", `/api/v2/commands/${command.commandId}`)).body.command).toMatchObject({
      action: "startWorkload",
      outcome: "ok",
    });
    // Not a word to anything else: neither as a reader nor as another node, and not to get a certificate.
    expect((await call("GET", "/audits", undefined, mine)).status).toBe(403);
    expect((await call("POST", "/agent/register", { agentId: "n1" }, { "x-api-key": core.adminToken })).status).toBe(403);
    await core.call("DELETE", `/api/v2/tokens/${made.body.token.id}`);
    expect((await call("POST", "/agent/heartbeat", { agentId: "old1" }, mine)).status).toBe(401);
  }, 40_000);
});
