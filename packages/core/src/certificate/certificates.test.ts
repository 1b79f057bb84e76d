import { until } from "@aether/kit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type MovingCloud, startMovingCloud } from "../testing/moving-cloud.ts";

let cloud: MovingCloud;
beforeAll(async () => {
  cloud = await startMovingCloud({ config: { certificates: { everyMs: 200 } } });
  const spec = { name: "demo", rootfs: "host", argv: ["/bin/true"], memoryLimitBytes: String(64 << 20), evacuation: { maxFreezeMs: 2000 } };
  expect((await cloud.core.call("POST", "/api/v2/workloads", { spec, nodeId: "n1" })).status).toBe(200);
}, 60_000);
afterAll(() => cloud.stop());

interface Shown {
  verdict: string;
  nodeId: string;
  calibration?: { moveCount?: number; points: { predictedFreezeMs: number }[] };
  freezeMs: { expected: number };
  blockers?: { code: string }[];
  warnings?: { code: string }[];
}
const certified = (what: string, is: (certificate: Shown) => boolean) =>
  until(what, 50, 30_000, async () => {
    const { status, body } = await cloud.core.call("GET", "/api/v2/certificates/demo");
    return status === 200 && is(body.certificate) ? (body.certificate as Shown) : undefined;
  });
const codes = (certificate: Pick<Shown, "blockers" | "warnings">) =>
  [...(certificate.blockers ?? []), ...(certificate.warnings ?? [])].map(({ code }) => code);

describe("certificates", () => {
  it("says what is not known before the first move, and is calibrated by it", async () => {
    const first = await certified("the first certificate", (each) => each.verdict === "VERDICT_AMBER");
    expect(codes(first)).toEqual(expect.arrayContaining(["PREFLIGHT_MISSING", "NOT_CALIBRATED"]));
    expect(first).toMatchObject({ nodeId: "n1", targetNodeId: "n2", objectiveFreezeMs: 2000 });

    const started = await cloud.core.call("POST", "/api/v2/workloads/demo:migrate", {});
    expect(started.status).toBe(200);
    const second = await certified("calibration", (each) => each.nodeId === "n2" && each.calibration?.moveCount === 1);
    expect(codes(second)).not.toContain("NOT_CALIBRATED");
    const point = second.calibration?.points[0];
    expect(point).toMatchObject({ migrationId: started.body.migration.id, measuredFreezeMs: 61.5 });
    expect(point?.predictedFreezeMs).toBeGreaterThan(0);
    expect(second.freezeMs.expected).toBeLessThan(first.freezeMs.expected);
  });

  it("turns red while moves are paused, nothing moves, and the history says so", async () => {
    const paused = await cloud.core.call("POST", "/api/v2/guards:pause", { reason: "tonight" });
    expect(paused.body.guards).toMatchObject({ isPaused: true, pausedReason: "tonight" });
    const red = await certified("red", (each) => each.verdict === "VERDICT_RED");
    expect(codes(red)).toContain("MOVES_PAUSED");
    expect((await cloud.core.call("POST", "/api/v2/guards:resume", {})).body.guards.isPaused ?? false).toBe(false);
    await certified("not red", (each) => each.verdict !== "VERDICT_RED");
    const { body } = await cloud.core.call("GET", "/api/v2/certificates/demo/history");
    expect(body.changes.map((change: { verdict: string }) => change.verdict)).toContain("VERDICT_RED");
    expect((await cloud.core.call("GET", "/api/v2/certificates")).body.certificates).toHaveLength(1);
  });

  it("shows the rails and refuses windows that are none", async () => {
    const bad = await cloud.core.call("PUT", "/api/v2/guards/windows", { windows: [{ days: ["fri"], from: "25:00", to: "04:00" }] });
    expect(bad.body.error).toMatchObject({ code: "INVALID_ARGUMENT", field: "windows[0].from" });
    const set = await cloud.core.call("PUT", "/api/v2/guards/windows", { windows: [{ days: ["fri"], from: "22:00", to: "04:00" }] });
    expect(set.body.guards.windows).toHaveLength(1);
    expect((await cloud.core.call("PUT", "/api/v2/guards/windows", { windows: [] })).body.guards).toMatchObject({ isInWindow: true });
    expect((await cloud.core.call("GET", "/api/v2/guards")).body.guards.resting[0]).toMatchObject({ workload: "demo" });
  });

  it("plans what a notice would lead to, changes nothing, and names what it does not know", async () => {
    const { body } = await cloud.core.call("POST", "/api/v2/plans:wave", { nodeIds: ["n2"], windowSeconds: 60 });
    expect(body.plan).toMatchObject({
      windowMs: 60_000,
      moves: [{ workload: "demo", action: "move", sourceNodeId: "n2", targetNodeId: "n1" }],
    });
    expect(body.plan.moves[0].safeAfterMs).toBeGreaterThan(0);
    expect((await cloud.core.call("GET", "/api/v2/decisions")).body.decisions).toEqual([]);
    const none = await cloud.core.call("POST", "/api/v2/plans:wave", { nodeIds: ["n9"] });
    expect(none.body.error).toMatchObject({ code: "NODE_NOT_FOUND", field: "nodeIds[0]" });
    expect((await cloud.core.call("POST", "/api/v2/plans:wave", { pools: ["x/y"] })).body.error.field).toBe("pools[0]");
  });

  it("promises room and a turn once: of two that leave the same node, the more important has the place that only one can have", async () => {
    const run = (name: string, priority: number) => {
      const spec = { name, rootfs: "host", argv: ["/bin/true"], memoryLimitBytes: String(5 * 2 ** 30), evacuation: { priority } };
      return cloud.core.call("POST", "/api/v2/workloads", { spec, nodeId: "n1" });
    };
    expect([(await run("one", 1)).status, (await run("two", 9)).status]).toEqual([200, 200]);
    const of = async (name: string) => (await cloud.core.call("GET", `/api/v2/certificates/${name}`)).body.certificate;
    // A pass may come between the two: then it has no room either, but beside what was there before only.
    const loser = await until("one to have no room beside the other", 50, 20_000, async () => {
      const certificate = await of("one");
      return certificate?.summary.includes("n2: 1024 MiB free, 5184 MiB needed") === true ? certificate : undefined;
    });
    expect(codes(loser)).toContain("NO_TARGET");
    const winner = await of("two");
    expect(winner).toMatchObject({ targetNodeId: "n2" });
    const inputs = new Map(winner.inputs.map((each: { name: string; value: string; detail: string }) => [each.name, each]));
    expect(inputs.get("room")).toMatchObject({ value: "6144 MiB free", basis: "measured" });
    expect([inputs.get("turn"), loser.inputs.find(({ name }: { name: string }) => name === "turn")]).toMatchObject([
      { value: "1 of 2" },
      { value: "2 of 2" },
    ]);
    expect(inputs.get("processor")).toBeDefined();
  });

  it("has none for what does not exist", async () => {
    expect((await cloud.core.call("GET", "/api/v2/certificates/nobody")).body.error).toMatchObject({
      code: "WORKLOAD_NOT_FOUND",
      field: "workload",
    });
  });
});
