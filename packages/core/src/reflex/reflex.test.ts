import { type Command, CommandOutcome, ReflexPlanSchema } from "@aether/contract/gen/aether/v2/agent_pb";
import { until } from "@aether/kit";
import { fromBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type MovingCloud, startMovingCloud } from "../testing/moving-cloud.ts";

let cloud: MovingCloud;
beforeAll(async () => {
  cloud = await startMovingCloud();
  const spec = { name: "demo", rootfs: "host", argv: ["/bin/true"] };
  expect((await cloud.core.call("POST", "/api/v2/workloads", { spec, nodeId: "n1" })).status).toBe(200);
}, 60_000);
afterAll(() => cloud.stop());

describe("a reflex", () => {
  it("is planned ahead for every node, and what came of it is taken over once", async () => {
    const agent = cloud.agents.get("n1");
    if (agent === undefined) throw new Error("no agent");
    const plan = await until("a plan with the workload", 50, 15_000, async () => {
      const plans = agent.received.flatMap(({ message }) =>
        message.case === "reflexPlan" ? [fromBinary(ReflexPlanSchema, message.value.content)] : [],
      );
      return plans.find(({ steps }) => steps.length > 0);
    });
    expect(plan).toMatchObject({ nodeId: "n1", steps: [{ workload: "demo", epoch: 1n }] });
    const snapshotId = plan.steps[0]?.createSnapshot?.snapshotId ?? "";
    const manifest = { images: [{ name: "core-1.img", bytes: 4096n, sha256: "aa" }], memoryBytes: 4096n };
    const takenAtMs = Date.now() - 600_000;
    const result = {
      commandId: `reflex-${snapshotId}`,
      outcome: CommandOutcome.OK,
      phases: [{ name: "freeze.dump", startedAt: timestampFromMs(takenAtMs), durationMs: 80 }],
      facts: { case: "snapshot" as const, value: { manifest, bytes: 4096n, freezeMs: 80 } },
    };
    for (let i = 0; i < 2; i++) agent.say({ case: "result", value: result });
    await agent.hears((message) => message.case === "resultAck" && message.value === result.commandId);
    const { snapshot } = (await cloud.core.call("GET", `/api/v2/snapshots/${snapshotId}`)).body;
    expect(snapshot).toMatchObject({ state: "SNAPSHOT_STATE_READY", nodeId: "n1", bytes: "4096" });
    // As of when it was taken: one that is told of late is not newer than what came after it.
    expect(Date.parse(snapshot.createdAt)).toBe(takenAtMs);
    const { decisions } = (await cloud.core.call("GET", "/api/v2/decisions?nodeId=n1")).body;
    expect(decisions.filter((each: { rule: string }) => each.rule === "reflex")).toHaveLength(1);
    expect(snapshot.cause).toBe(`decision/${decisions[0].id}`);
    const { entries } = (await cloud.core.call("GET", "/api/v2/audit?actor=core&action=decision.snapshot")).body;
    expect(entries).toMatchObject([{ subject: "node/n1", outcome: "ok", dataJson: expect.stringContaining(decisions[0].id) }]);
    // Nothing was placed by it.
    expect((await cloud.core.call("GET", "/api/v2/workloads/demo")).body.workload).toMatchObject({ nodeId: "n1", epoch: "1" });
  });

  it("takes over nothing that is not in the plan", async () => {
    const agent = cloud.agents.get("n2");
    agent?.say({ case: "result", value: { commandId: "reflex-snap-unknown", outcome: CommandOutcome.OK } });
    await agent?.hears((message) => message.case === "resultAck" && message.value === "reflex-snap-unknown");
    expect((await cloud.core.call("GET", "/api/v2/snapshots/snap-unknown")).status).toBe(404);
    expect(cloud.agents.get("n1")?.commands.filter((command: Command) => command.id.startsWith("reflex-"))).toEqual([]);
  });
});
