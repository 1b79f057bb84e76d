// Rate limits as a client meets them, over every protocol, and the counts of them in /metrics.
import { connect } from "node:net";
import { NodeService } from "@aether/contract/gen/aether/v2/node_pb";
import { until } from "@aether/kit";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport } from "@connectrpc/connect-node";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type CoreUnderTest, startCore } from "../testing/core-under-test.ts";

let core: CoreUnderTest;
/** Tokens of their own, so that each test has a bucket of its own. */
const made: string[] = [];
const burst = 12;

beforeAll(async () => {
  // One every two seconds after the burst; the address may do more than any token.
  core = await startCore({
    rateLimit: { perTokenPerSecond: 0.5, perAddressPerSecond: 1000, burst, auditedDenialsPerSecond: 0.001, streamsPerToken: 3 },
  });
  for (let i = 0; i < 4; i++) made.push((await core.call("POST", "/api/v2/tokens", { name: `t${i}`, role: "ROLE_VIEWER" })).body.secret);
}, 60_000);
afterAll(() => core.stop());

const get = (token: string, path = "/api/v2/nodes") => fetch(core.url + path, { headers: { authorization: `Bearer ${token}` } });
const times = async <Result>(count: number, work: () => Promise<Result>) => {
  const results: Result[] = [];
  for (let i = 0; i < count; i++) results.push(await work());
  return results;
};

describe("the rate limit", () => {
  it("lets a burst of one token through, then answers 429 with Retry-After, and lets the others be", async () => {
    const [mine = "", other = ""] = made;
    const statuses = (await times(burst + 2, () => get(mine))).map(({ status }) => status);
    expect(statuses.slice(0, burst)).toEqual(Array(burst).fill(200));
    expect(statuses.slice(burst)).toContain(429);
    const refused = await get(mine);
    const body = (await refused.json()) as { error: { code: string; hint: string } };
    expect([refused.status, body.error.code]).toEqual([429, "RATE_LIMITED"]);
    const seconds = Number(refused.headers.get("retry-after"));
    expect(seconds).toBeGreaterThanOrEqual(1);
    expect((await get(other)).status).toBe(200);
    // As it was told, and not before.
    await new Promise((resolve) => setTimeout(resolve, seconds * 1000 + 100));
    expect((await get(mine)).status).toBe(200);
  });

  it.each([
    ["Connect", 2, () => createConnectTransport({ baseUrl: core.url, httpVersion: "1.1" })],
    ["gRPC", 3, () => createGrpcTransport({ baseUrl: core.url })],
  ] as const)("is the same over %s", async (_, which, transport) => {
    const client = createClient(NodeService, transport());
    const headers = { authorization: `Bearer ${made[which]}` };
    const problems = await times(burst + 2, () =>
      client.listNodes({}, { headers }).then(
        () => undefined,
        (caught: unknown) => ConnectError.from(caught),
      ),
    );
    const refused = problems.filter((problem) => problem !== undefined);
    expect(refused.length).toBeGreaterThan(0);
    for (const { code, metadata } of refused) {
      expect([code, metadata.get("aether-code")]).toEqual([Code.ResourceExhausted, "RATE_LIMITED"]);
      expect(Number(metadata.get("retry-after"))).toBeGreaterThanOrEqual(1);
    }
  });
});

describe("streams", () => {
  it("are so many for one token, and another one may begin when one has ended", async () => {
    const secret = (await core.call("POST", "/api/v2/tokens", { name: "streams", role: "ROLE_VIEWER" })).body.secret;
    const open = async () => {
      const gone = new AbortController();
      const response = await fetch(`${core.url}/api/v2/events`, { signal: gone.signal, headers: { authorization: `Bearer ${secret}` } });
      return { response, end: () => gone.abort() };
    };
    const held = await times(3, open);
    expect(held.map(({ response }) => response.status)).toEqual([200, 200, 200]);
    const { response } = await open();
    expect([response.status, response.headers.get("retry-after")]).toEqual([429, "5"]);
    await response.text();
    held[0]?.end();
    await until("a stream may begin again", 50, 5_000, async () => {
      const again = await open();
      again.end();
      return again.response.status === 200 ? true : undefined;
    });
    for (const { end } of held) end();
  });
});

describe("what is refused again and again", () => {
  it("is on the audit log as often as it may be, and counted each time", async () => {
    const tries = burst + 8;
    const answers = await times(tries, () => get("at_wrong"));
    expect(answers.every(({ status }) => status === 401)).toBe(true);
    const { body } = await core.call("GET", "/api/v2/audit?page.pageSize=1000");
    const denied = body.entries.filter(({ outcome }: { outcome: string }) => outcome === "denied");
    expect(denied.length).toBeGreaterThan(0);
    expect(denied.length).toBeLessThanOrEqual(burst);
    expect(await counted("aether.v2.NodeService/ListNodes", "UNAUTHENTICATED")).toBe(tries);
    expect(await counted("aether.v2.NodeService/ListNodes", "RATE_LIMITED")).toBeGreaterThan(0);
  });
});

describe("/metrics", () => {
  it("is in the Prometheus text format, for who may read", async () => {
    expect((await fetch(`${core.url}/metrics`)).status).toBe(401);
    const answer = await get(core.adminToken, "/metrics");
    expect(answer.headers.get("content-type")).toBe("text/plain; version=0.0.4; charset=utf-8");
    const lines = (await answer.text()).trimEnd().split("\n");
    const described = new Set<string>();
    for (const line of lines) {
      const about = /^# (HELP|TYPE) ([a-z_]+) (.+)$/.exec(line);
      if (about !== null) {
        described.add(about[2] ?? "");
        continue;
      }
      const sample = /^([a-z_]+)(\{[a-z_]+="[^"\\\n]*"(,[a-z_]+="[^"\\\n]*")*\})? (-?[0-9.e+-]+|NaN)$/.exec(line);
      expect(sample, line).not.toBeNull();
      expect(described, line).toContain(sample?.[1]);
    }
    expect(lines).toContain("aether_nodes 0");
    expect(described).toContain("process_resident_memory_bytes");
    expect(await counted("aether.v2.AccessService/CreateToken", "OK")).toBe(5);
  });
});

async function counted(method: string, code: string): Promise<number> {
  const text = await (await get(core.adminToken, "/metrics")).text();
  const line = text.split("\n").find((each) => each.startsWith(`aether_requests_total{method="${method}",code="${code}"}`));
  return Number(line?.split(" ").at(-1) ?? 0);
}

it("who is refused cannot go on sending for ever: the answer is read, then the connection ends", async () => {
  const socket = connect(Number(new URL(core.url).port), "127.0.0.1");
  let said = "";
  socket.on("data", (chunk) => {
    said += chunk;
  });
  const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()));
  socket.on("error", () => undefined);
  const head = ["POST /api/v2/artifacts/db HTTP/1.1", "Host: x", "Content-Type: application/octet-stream", "Content-Length: 1000000"];
  socket.write(`${head.join("\r\n")}\r\n\r\nx`);
  const drip = setInterval(() => socket.write("x"), 100);
  await closed.finally(() => clearInterval(drip));
  expect(said).toContain("401 Unauthorized");
});
