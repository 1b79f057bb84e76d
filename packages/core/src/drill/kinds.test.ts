// Drills beyond the notice: through the same doors as the real thing, judged by what is on record afterwards.
import { GetDrillReportResponseSchema } from "@aether/contract/gen/aether/v2/drill_pb";
import { verifyDrillReport } from "@aether/contract/receipt";
import { until } from "@aether/kit";
import { fromJson } from "@bufbuild/protobuf";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type MovingCloud, startMovingCloud } from "../testing/moving-cloud.ts";

let cloud: MovingCloud;
beforeAll(async () => {
  cloud = await startMovingCloud({
    config: {
      certificates: { everyMs: 200 },
      decision: { onRisk: "hold" },
      prices: { onDemandUsdPerHour: { "us-east-1": { "m6i.large": 0.096 } } },
    },
  });
  const spec = { name: "demo", rootfs: "host", argv: ["/bin/true"] };
  expect((await cloud.core.call("POST", "/api/v2/workloads", { spec, nodeId: "n1" })).status).toBe(200);
}, 60_000);
afterAll(() => cloud.stop());

const start = (body: object) => cloud.core.call("POST", "/api/v2/drills", body);
const end = (id: string) =>
  until("the end of the drill", 100, 25_000, async () => {
    await cloud.report("demo");
    const { drill } = (await cloud.core.call("GET", `/api/v2/drills/${id}`)).body;
    return drill.state === "DRILL_STATE_RUNNING" ? undefined : drill;
  });
const failed = (drill: { checks: { isPassed?: boolean; name: string; detail: string }[] }) => drill.checks.filter((each) => !each.isPassed);
const checkNamed = (drill: { checks: { name: string; detail: string }[] }, name: string) =>
  drill.checks.find((each) => each.name === name)?.detail;

describe("a drill of another kind", () => {
  it("kills the agent, and finds each workload running once", async () => {
    await cloud.report("demo");
    const started = await start({ kind: "DRILL_KIND_CRASH", nodeId: "n1", windowSeconds: 30 });
    expect(started.status).toBe(200);
    const drill = await end(started.body.drill.id);
    expect(failed(drill)).toEqual([]);
    expect(checkNamed(drill, "demo runs once")).toBe("running on n1");
    expect(checkNamed(drill, "agent killed, and back")).toMatch(/^another one answered/);
  }, 40_000);

  it("takes the target's pool away: with nothing else left it is the last resort, and that is said", async () => {
    await until("a certificate with a target", 50, 10_000, async () => {
      const { certificate } = (await cloud.core.call("GET", "/api/v2/certificates/demo")).body;
      return certificate?.targetNodeId === "n2" ? true : undefined;
    });
    await cloud.report("demo");
    const started = await start({ kind: "DRILL_KIND_CAPACITY", nodeId: "n1" });
    expect(started.body.drill).toMatchObject({
      pool: "m6i.large/us-east-1b",
      predictions: [{ workload: "demo", predictedTargetNodeId: "n2" }],
    });
    const drill = await end(started.body.drill.id);
    expect(failed(drill)).toEqual([]);
    expect(checkNamed(drill, "without m6i.large/us-east-1b")).toBe("nothing else could take demo");
    const { decision } = (await cloud.core.call("GET", `/api/v2/decisions/${drill.decisionId}`)).body;
    expect(JSON.stringify(decision.moves[0].candidates)).toContain("under a signal: a last resort");
    expect(drill.predictions[0]).toMatchObject({
      workload: "demo",
      measuredFreezeMs: 61.5,
      targetNodeId: "n2",
      migrationId: drill.migrationIds[0],
    });
    expect(drill.predictions[0].predictedFreezeMs).toBeGreaterThan(0);
  }, 60_000);

  it("has a report whose signature is checked without a control plane, and which nobody can edit", async () => {
    const { body } = await cloud.core.call("GET", "/api/v2/drills?page.pageSize=1");
    const answer = (await cloud.core.call("GET", `/api/v2/drills/${body.drills[0].id}/report`)).body;
    expect(answer.markdown).toContain("## Foretold and measured");
    expect(answer.html).toMatch(/^<!doctype html>/);
    expect(answer.html).not.toContain("<script");
    const report = fromJson(GetDrillReportResponseSchema, answer);
    const { subtle } = globalThis.crypto;
    const good = await verifyDrillReport(report, answer.trustBundlePem, subtle);
    expect(good.checks.filter(({ isPassed }) => !isPassed)).toEqual([]);
    if (report.report?.drill) report.report.drill.noticeToSafeMs = 1;
    const edited = await verifyDrillReport(report, answer.trustBundlePem, subtle);
    expect(edited.checks.filter(({ isPassed }) => !isPassed).map(({ name }) => name)).toEqual(["the report is what was signed"]);
    const payload = report.statement?.payload;
    if (payload) payload[payload.length - 3] = 55;
    const forged = await verifyDrillReport(report, answer.trustBundlePem, subtle);
    expect(forged.checks.some(({ name, isPassed }) => name.startsWith("control plane") && !isPassed)).toBe(true);
  });

  it("lets the price rise, sees it assessed, and takes it back", async () => {
    const started = await start({ kind: "DRILL_KIND_PRICE", nodeId: "n2", priceFactor: 5, windowSeconds: 60 });
    expect(started.body.drill).toMatchObject({ pool: "pool/us-east-1/us-east-1b/m6i.large", priceUsdPerHour: 0.48 });
    const drill = await end(started.body.drill.id);
    expect(failed(drill)).toEqual([]);
    expect(checkNamed(drill, "price assessed")).toMatch(/^0.48 USD\/h was read/);
    const { points } = (await cloud.core.call("GET", "/api/v2/prices/history?pool=pool/us-east-1/us-east-1b/m6i.large")).body;
    expect(points).toEqual([]);
  }, 40_000);

  it("is refused with the reason", async () => {
    expect((await start({ kind: "DRILL_KIND_CRASH", nodeId: "n1", priceFactor: 3 })).body.error.field).toBe("priceFactor");
    expect((await start({ kind: 77, nodeId: "n1" })).body.error.field).toBe("kind");
  });
});

describe("a schedule", () => {
  const call = (method: string, path: string, body?: object) => cloud.core.call(method, `/api/v2/drill-schedules${path}`, body);
  it("begins a drill when it comes due, pauses, resumes and goes", async () => {
    const made = await call("POST", "", {
      name: "weekly",
      kind: "DRILL_KIND_CRASH",
      cron: "0 3 * * mon",
      timeZone: "Europe/Berlin",
      windowSeconds: 30,
    });
    expect(made.body.schedule).toMatchObject({ name: "weekly", isPaused: false, createdBy: expect.stringMatching(/^token\//) });
    expect(new Date(made.body.schedule.nextAt).getTime()).toBeGreaterThan(Date.now());
    expect((await call("POST", "", { name: "weekly", everySeconds: 300 })).body.error).toMatchObject({
      code: "DRILL_SCHEDULE_EXISTS",
      field: "name",
    });
    expect((await call("POST", "/weekly:pause", {})).body.schedule).toMatchObject({ isPaused: true });
    expect((await call("POST", "/weekly:resume", {})).body.schedule.nextAt).toBe(made.body.schedule.nextAt);
    expect((await call("GET", "")).body.schedules).toHaveLength(1);
    expect((await call("DELETE", "/weekly")).status).toBe(200);
    expect((await call("GET", "/weekly")).body.error.code).toBe("DRILL_SCHEDULE_NOT_FOUND");
  });
});
