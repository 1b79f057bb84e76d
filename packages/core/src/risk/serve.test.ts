import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DEFAULT_RULE_THRESHOLDS } from "@aether/risk";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type RiskServer, startRiskServer } from "./serve.ts";

let dir: string;
let server: RiskServer;
const options = { host: "127.0.0.1", port: 0, thresholds: DEFAULT_RULE_THRESHOLDS };
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "aether-risk-"));
  await writeFile(join(dir, "token"), "only-for-this-test\n");
  server = await startRiskServer({ ...options, tokenFile: join(dir, "token") });
});
afterAll(async () => {
  await server.stop();
  await rm(dir, { recursive: true });
});
const ask = async (body: unknown, headers: Record<string, string> = { authorization: "Bearer only-for-this-test" }) => {
  const answer = await fetch(`http://127.0.0.1:${server.port}/analyze`, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: typeof body === "string" ? body : JSON.stringify(body),
  });
  return {
    status: answer.status,
    body: (await answer.json()) as Record<string, unknown> & { error?: { code: string; field?: string; details?: object } },
  };
};

describe("aether risk serve", () => {
  it("answers in the shape that old clients know", async () => {
    const { status, body } = await ask({ spotPriceHistory: [0.03, 0.031, 0.03], rebalanceSignal: true, capacityScore: 0.5 });
    expect(status).toBe(200);
    expect(body).toMatchObject({
      status: "CRITICAL",
      prediction: 100,
      rca: "Cloud Provider Signal",
      rule: "rebalance",
      horizonSeconds: 3600,
    });
    expect(body.probability).toBeGreaterThan(0.5);
    expect(body.contributions).toContainEqual(expect.objectContaining({ name: "rebalance", source: "prior" }));
  });
  it("names each field that is wrong", async () => {
    const { status, body } = await ask({ spotPriceHistory: [1, "2"], capacityScore: 7 });
    expect(status).toBe(400);
    expect(body.error).toMatchObject({ code: "INVALID_ARGUMENT", field: "spotPriceHistory[1]" });
    expect(Object.keys(body.error?.details ?? {})).toEqual(["spotPriceHistory[1]", "rebalanceSignal", "capacityScore"]);
  });
  it.each([
    ["{", 400, "INVALID_ARGUMENT"],
    [[], 400, "INVALID_ARGUMENT"],
    [`{"spotPriceHistory":[${"1,".repeat(40_000)}1]}`, 413, "REQUEST_TOO_LARGE"],
  ])("refuses what it cannot read %#", async (sent, status, code) => {
    const got = await ask(sent);
    expect([got.status, got.body.error?.code]).toEqual([status, code]);
  });
  it("demands its token, and a token off the loopback", async () => {
    for (const headers of [{}, { authorization: "Bearer other" }] as Record<string, string>[])
      expect((await ask({}, headers)).body.error?.code).toBe("UNAUTHENTICATED");
    await expect(startRiskServer({ ...options, host: "0.0.0.0" })).rejects.toMatchObject({ code: "CONFIG_INVALID", field: "token-file" });
  });
});
