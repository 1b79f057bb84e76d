import { until } from "@aether/kit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type MovingCloud, startMovingCloud } from "../testing/moving-cloud.ts";

let cloud: MovingCloud;
beforeAll(async () => {
  cloud = await startMovingCloud();
  const spec = { name: "demo", rootfs: "host", argv: ["/bin/true"] };
  expect((await cloud.core.call("POST", "/api/v2/workloads", { spec, nodeId: "n1" })).status).toBe(200);
}, 60_000);
afterAll(() => cloud.stop());

const drillEnd = (id: string) =>
  until("the end of the drill", 100, 25_000, async () => {
    await cloud.report("demo");
    const { drill } = (await cloud.core.call("GET", `/api/v2/drills/${id}`)).body;
    return drill.state === "DRILL_STATE_RUNNING" ? undefined : drill;
  });

describe("a drill", () => {
  it("refuses what it cannot do, naming the field", async () => {
    const start = (body: object) => cloud.core.call("POST", "/api/v2/drills", body);
    expect((await start({ kind: "DRILL_KIND_NOTICE", nodeId: "n9" })).body.error).toMatchObject({ code: "NODE_NOT_FOUND" });
    expect((await start({ kind: "DRILL_KIND_NOTICE", nodeId: "n1", windowSeconds: 3 })).body.error).toMatchObject({
      code: "INVALID_ARGUMENT",
      field: "windowSeconds",
    });
    expect((await cloud.core.call("GET", "/api/v2/drills/drl-0")).body.error).toMatchObject({ code: "DRILL_NOT_FOUND" });
  });

  it("closes the loop: announced, heard, decided, moved, judged, withdrawn", async () => {
    await cloud.report("demo");
    const started = await cloud.core.call("POST", "/api/v2/drills", { kind: "DRILL_KIND_NOTICE", nodeId: "n1" });
    expect(started.status).toBe(200);
    const second = await cloud.core.call("POST", "/api/v2/drills", { kind: "DRILL_KIND_NOTICE", nodeId: "n1" });
    expect(second.body.error).toMatchObject({ code: "DRILL_RUNNING" });
    const drill = await drillEnd(started.body.drill.id);
    expect(drill.checks.filter((check: { isPassed?: boolean }) => !check.isPassed)).toEqual([]);
    expect(drill).toMatchObject({ state: "DRILL_STATE_PASSED", nodeId: "n1" });
    expect(drill.noticeToDecisionMs).toBeGreaterThanOrEqual(0);
    expect(drill.oracles[0]).toMatchObject({ name: "demo" });
    expect(cloud.announced.has("n1")).toBe(false);
    const [decision] = (await cloud.core.call("GET", "/api/v2/decisions?nodeId=n1&page.pageSize=5")).body.decisions.filter(
      (each: { rule: string }) => each.rule === "notice-evacuate",
    );
    expect(decision).toMatchObject({ action: "migrate", moves: [{ workload: "demo", targetNodeId: "n2" }] });
    const receipt = (await cloud.core.call("GET", `/api/v2/migrations/${drill.migrationIds[0]}/receipt`)).body.receipt;
    expect(receipt).toMatchObject({ isWhole: true, freezeMs: 61.5, mode: "MIGRATION_MODE_POST_COPY" });
    // The node is a target again once the announcement is gone.
    await until("the withdrawal", 20, 5_000, async () => {
      const { node } = (await cloud.core.call("GET", "/api/v2/nodes/n1")).body;
      return node.interruptionAt === undefined ? true : undefined;
    });
  }, 40_000);

  it("survives a restart of the control plane, and fails when a client saw a wrong answer", async () => {
    const { drill } = (await cloud.core.call("POST", "/api/v2/drills", { kind: "DRILL_KIND_NOTICE", nodeId: "n2" })).body;
    await cloud.report("demo", { wrongCount: 1, lastError: "expected 8, got 7" });
    await cloud.restartCore();
    const ended = await drillEnd(drill.id);
    expect(ended.state).toBe("DRILL_STATE_FAILED");
    const failed = ended.checks.filter((check: { isPassed?: boolean }) => !check.isPassed);
    expect(failed.map((check: { name: string }) => check.name)).toContain("client demo");
    expect(cloud.announced.size).toBe(0);
  }, 60_000);

  it("checks a report at the door", async () => {
    expect(await cloud.report("demo", { latencyP50Ms: -1 })).toBe(400);
    expect(await cloud.report("demo", { since: "2030-01-01T00:00:00Z", until: "2030-01-01T00:00:01Z" })).toBe(400);
    expect(await cloud.report("demo", { wrongCount: 2, requestCount: 1 })).toBe(400);
    expect(await cloud.report("demo", { worstLatencyMs: Array.from({ length: 4_000 }, () => 1) })).toBe(400);
    const { oracles } = (await cloud.core.call("GET", "/api/v2/oracles?seconds=60")).body;
    expect(oracles).toHaveLength(1);
  });
});
