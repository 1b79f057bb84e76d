import { type Command, CommandOutcome, ReflexPlanSchema } from "@aether/contract/gen/aether/v2/agent_pb";
import { until } from "@aether/kit";
import { fromBinary } from "@bufbuild/protobuf";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type MovingCloud, startMovingCloud } from "../testing/moving-cloud.ts";

let cloud: MovingCloud;
const run = async (name: string, nodeId: string, onNodeLost: string, more: object = {}) => {
  const spec = { name, rootfs: "host", argv: ["/bin/true"], evacuation: { onNodeLost }, ...more };
  expect((await cloud.core.call("POST", "/api/v2/workloads", { spec, nodeId })).status).toBe(200);
};
beforeAll(async () => {
  let dying = 2;
  cloud = await startMovingCloud({
    config: { heartbeat: { intervalMs: 1000, lostAfterMs: 1500 }, moves: { atOnce: 1 } },
    answer: ({ action, workload: name, epoch }) => {
      if (action.case === "startWorkload" && name === "fresh") return "nothing";
      if (action.case !== "restoreSnapshot") return undefined;
      if ((name === "half" || name === "held") && epoch === 2n) return "nothing"; // its node dies in the middle of it
      if (name !== "cut" || dying-- <= 0) return undefined;
      return {
        outcome: CommandOutcome.INTERRUPTED,
        error: { code: "STEP_INTERRUPTED", message: "the agent of n2 restarted in the middle" },
      };
    },
  });
  await run("safe", "n1", "ON_NODE_LOST_RESTORE");
  await run("held", "n1", "ON_NODE_LOST_HOLD");
  await run("torn", "n1", "ON_NODE_LOST_RESTORE");
  await run("cut", "n1", "ON_NODE_LOST_RESTORE");
  await run("half", "n1", "ON_NODE_LOST_RESTORE");
}, 60_000);
afterAll(() => cloud.stop());

const workload = async (name: string) => (await cloud.core.call("GET", `/api/v2/workloads/${name}`)).body.workload;

it("a workload with an objective has a snapshot that often by itself, made with a key that is not on record", async () => {
  await run("often", "n2", "ON_NODE_LOST_HOLD", { rpoSeconds: 10 });
  const own = async () => (await cloud.core.call("GET", "/api/v2/snapshots?workload=often")).body.snapshots;
  await until("two snapshots", 250, 30_000, async () => ((await own()).length >= 2 ? true : undefined));
  const [newer, older] = await own();
  const apart = Date.parse(newer.createdAt) - Date.parse(older.createdAt);
  expect(apart).toBeGreaterThanOrEqual(10_000);
  expect(older).toMatchObject({ cause: "rpo", state: "SNAPSHOT_STATE_READY" });
  const sent = cloud.agents.get("n2")?.commands.find((command) => command.action.case === "createSnapshot");
  expect(sent?.action.case === "createSnapshot" && sent.action.value.key?.key.length).toBe(32);
  expect((await cloud.core.call("DELETE", "/api/v2/workloads/often?force=true")).status).toBe(200);
}, 45_000);

it("what is beyond the bounds leaves the store when they are drawn closer; the last good one and a pinned one stay", async () => {
  await run("kept", "n2", "ON_NODE_LOST_HOLD");
  const made: string[] = [];
  for (let i = 0; i < 3; i++) made.push((await cloud.core.call("POST", "/api/v2/snapshots", { workload: "kept" })).body.snapshot.id);
  const [pinned, old, newest] = made;
  expect((await cloud.core.call("POST", `/api/v2/snapshots/${pinned}:pin`, { reason: "before the upgrade" })).status).toBe(200);
  const keepEach = (snapshotsEach: number) => cloud.core.call("PATCH", "/api/v2/retention", { change: { snapshotsEach } });
  expect((await keepEach(1)).status).toBe(200);
  const left = await until("the old one to go", 50, 10_000, async () => {
    const { snapshots } = (await cloud.core.call("GET", "/api/v2/snapshots?workload=kept")).body;
    const ids: string[] = snapshots.map(({ id }: { id: string }) => id);
    return old !== undefined && ids.includes(old) ? undefined : ids;
  });
  expect(left).toEqual([newest, pinned]);
  const removed = cloud.agents
    .get("n2")
    ?.commands.flatMap(({ action }) => (action.case === "deleteSnapshot" ? [action.value.snapshotId] : []));
  expect(removed).toContain(old); // by its node, in the store
  expect(removed).not.toContain(pinned);
  const { entries } = (await cloud.core.call("GET", `/api/v2/audit?subject=snapshot/${old}`)).body;
  expect(entries).toMatchObject([{ actor: "core", action: "snapshot.retire", outcome: "ok" }]);
  expect(JSON.parse(entries[0].dataJson)).toEqual({ workload: "kept", why: "a newer one of kept is kept" });
  expect((await keepEach(50)).status).toBe(200);
  expect((await cloud.core.call("DELETE", "/api/v2/workloads/kept?force=true")).status).toBe(200);
});

describe("a node that dies with its workloads", () => {
  it("leaves back only those that say so, from their newest snapshot, once the node is known to be dead", async () => {
    for (const name of ["safe", "held", "torn", "torn", "torn", "cut", "half"])
      expect((await cloud.core.call("POST", "/api/v2/snapshots", { workload: name })).status).toBe(200);
    cloud.damaged.set("torn", 2);
    expect((await cloud.core.call("POST", "/api/v2/guards:pause", {})).status).toBe(200);
    cloud.lose("n1", 1);
    await until("both to be lost", 100, 10_000, async () => ((await workload("held")).state === "WORKLOAD_STATE_LOST" ? true : undefined));
    // Not before the announced time and a margin are over.
    expect((await workload("safe")).state).toBe("WORKLOAD_STATE_LOST");
    const back = await until("the one to be back", 200, 25_000, async () => {
      const now = await workload("safe");
      return now.state === "WORKLOAD_STATE_RUNNING" ? now : undefined;
    });
    expect(back).toMatchObject({ nodeId: "n2", epoch: "2" });
    expect((await workload("held")).state).toBe("WORKLOAD_STATE_LOST");
    expect(cloud.agents.get("n2")?.commands.map((command) => command.action.case)).toContain("restoreSnapshot");
    const { decisions } = (await cloud.core.call("GET", "/api/v2/decisions?nodeId=n1")).body;
    expect(decisions.map((each: { rule: string }) => each.rule)).toContain("node-dead-restore");
    // Two of its snapshots are damaged: the newest whole one is found, and the others are known for what they are.
    const torn = await until("the torn one to be back", 200, 40_000, async () => {
      const now = await workload("torn");
      return now.state === "WORKLOAD_STATE_RUNNING" ? now : undefined;
    });
    expect(torn).toMatchObject({ nodeId: "n2", epoch: "4" });
    const { snapshots } = (await cloud.core.call("GET", "/api/v2/snapshots?workload=torn")).body;
    const states = snapshots.sort((a: { createdAt: string }, b: { createdAt: string }) => (a.createdAt < b.createdAt ? 1 : -1));
    const word = ({ state }: { state: string }) => state.replace("SNAPSHOT_STATE_", "");
    expect(states.map(word)).toEqual(["CORRUPT", "CORRUPT", "READY", "READY"]); // the newest is the reflex's
    // The agent died twice in the middle of it: it is begun anew, from the same snapshot.
    const cut = await until("the one that was cut off to be back", 200, 40_000, async () => {
      const now = await workload("cut");
      return now.state === "WORKLOAD_STATE_RUNNING" ? now : undefined;
    });
    expect(cut).toMatchObject({ nodeId: "n2", epoch: "4" });
  }, 90_000);
});

describe("a node that somebody declares dead", () => {
  it("is refused while it is heard; then its workloads come back as each of them says, also by hand", async () => {
    await run("word", "n2", "ON_NODE_LOST_RESTORE");
    await run("byhand", "n2", "ON_NODE_LOST_HOLD");
    await run("reflexed", "n2", "ON_NODE_LOST_RESTORE");
    run("fresh", "n2", "ON_NODE_LOST_RESTORE").catch(() => undefined); // its node dies before it has answered
    await cloud.join("n3");
    // The plan for when nobody can be asked: by it the node would keep what it has, and core knows under which names.
    await until("a plan with it", 100, 15_000, async () =>
      cloud.agents
        .get("n2")
        ?.received.some(
          ({ message }) =>
            message.case === "reflexPlan" &&
            fromBinary(ReflexPlanSchema, message.value.content).steps.some((step) => step.workload === "reflexed"),
        )
        ? true
        : undefined,
    );
    for (const name of ["word", "byhand"])
      expect((await cloud.core.call("POST", "/api/v2/snapshots", { workload: name })).status).toBe(200);
    const [old] = (await cloud.core.call("GET", "/api/v2/snapshots?workload=held")).body.snapshots;
    const restoreHeld = (nodeId: string) => cloud.core.call("POST", `/api/v2/snapshots/${old.id}:restore`, { nodeId });
    const begunByHand = restoreHeld("n2");
    await until("it to be restored there", 50, 10_000, async () =>
      cloud.agents.get("n2")?.commands.find(({ action, workload: name }) => action.case === "restoreSnapshot" && name === "held"),
    );
    const unanswered =
      cloud.agents
        .get("n2")
        ?.commands.filter(
          ({ workload: name, epoch, action }) =>
            name === "fresh" || (action.case === "restoreSnapshot" && epoch === 2n && (name === "half" || name === "held")),
        ) ?? [];
    expect(unanswered).toHaveLength(3);
    const declare = (body: object) => cloud.core.call("POST", "/api/v2/nodes/n2:declareDead", body);
    expect((await declare({ reason: "terminated" })).body.error.code).toBe("NODE_IS_CONNECTED");
    const begun = cloud.agents
      .get("n2")
      ?.commands.find(({ action, workload: name }) => action.case === "restoreSnapshot" && name === "half");
    const fromDead = begun?.action.case === "restoreSnapshot" && begun.action.value.snapshotId;
    expect(await workload("half")).toMatchObject({ nodeId: "n2", epoch: "2", state: "WORKLOAD_STATE_STARTING" });
    await cloud.cut("n2");
    await until("both to be lost", 100, 10_000, async () => ((await workload("word")).state === "WORKLOAD_STATE_LOST" ? true : undefined));
    const [snapshot] = (await cloud.core.call("GET", "/api/v2/snapshots?workload=byhand")).body.snapshots;
    const restore = () => cloud.core.call("POST", `/api/v2/snapshots/${snapshot.id}:restore`, {});
    // Not heard is not dead: neither by itself nor by hand.
    expect((await restore()).body.error).toMatchObject({ code: "WORKLOAD_RUNNING", hint: expect.stringContaining("aether nodes dead") });

    const said = (await declare({ isDryRun: true })).body.workloads;
    expect(said.map((each: { name: string; outcome: string }) => [each.name, each.outcome.split(" ")[0]])).toEqual([
      ["byhand", "stays"],
      ["cut", "comes"],
      ["fresh", "was"],
      ["half", "comes"],
      ["held", "stays"],
      ["reflexed", "has"],
      ["safe", "comes"],
      ["torn", "comes"],
      ["word", "comes"],
    ]);
    expect((await cloud.core.call("GET", "/api/v2/nodes/n2")).body.node.declaredDeadAt).toBeUndefined();
    expect((await declare({ reason: "terminated" })).status).toBe(200);
    const back = await until("it to be back", 200, 25_000, async () => {
      const now = await workload("word");
      return now.state === "WORKLOAD_STATE_RUNNING" ? now : undefined;
    });
    expect(back.nodeId).toBe("n3");
    // Nobody told of this one: its node made it in its last moments, and never came back.
    const reflexed = await until("it to be back", 200, 25_000, async () => {
      const now = await workload("reflexed");
      return now.state === "WORKLOAD_STATE_RUNNING" ? now : undefined;
    });
    expect(reflexed.nodeId).toBe("n3");
    const kept = (await cloud.core.call("GET", "/api/v2/snapshots?workload=reflexed")).body.snapshots;
    expect(kept).toMatchObject([{ state: "SNAPSHOT_STATE_READY", nodeId: "n2" }]);
    const looked = cloud.agents
      .get("n3")
      ?.commands.find(({ action, workload: name }) => action.case === "verifySnapshot" && name === "reflexed");
    expect(looked?.action.case === "verifySnapshot" && looked.action.value.snapshotId).toBe(kept[0].id);
    expect((await workload("byhand")).state).toBe("WORKLOAD_STATE_LOST");
    expect((await restore()).status).toBe(200);
    expect((await workload("byhand")).nodeId).not.toBe("n2");

    // It was being restored on the node that died: it begins anew on the next one, from the same snapshot.
    const half = await until("it to be back", 200, 25_000, async () => {
      const now = await workload("half");
      return now.state === "WORKLOAD_STATE_RUNNING" ? now : undefined;
    });
    expect(half).toMatchObject({ nodeId: "n3", epoch: "3" });
    const restores = (nodeId: string) =>
      cloud.agents.get(nodeId)?.commands.filter(({ action, workload: name }) => action.case === "restoreSnapshot" && name === "half") ?? [];
    const [again] = restores("n3");
    expect(again?.action.case === "restoreSnapshot" && again.action.value.snapshotId).toBe(fromDead);
    // One that does not say so is begun anew by hand; who waits for what was begun before hears that nobody does any more.
    expect((await restoreHeld("n3")).body.workload).toMatchObject({ nodeId: "n3", epoch: "3", state: "WORKLOAD_STATE_RUNNING" });
    expect((await begunByHand).body.error).toMatchObject({ code: "CANCELLED", message: expect.stringContaining("placed anew") });
    expect((await cloud.core.call("DELETE", "/api/v2/workloads/fresh?force=true")).status).toBe(200);
    // The node is back with what it had begun, and with its answers: nobody asks for that again, and it is taken away.
    await cloud.join("n2");
    for (const { id } of unanswered) cloud.agents.get("n2")?.say({ case: "result", value: { commandId: id, outcome: CommandOutcome.OK } });
    const removals = await until("it to be removed there", 50, 10_000, async () => {
      const sent = cloud.agents.get("n2")?.commands.filter(({ action }) => action.case === "removeWorkload") ?? [];
      return sent.length < unanswered.length ? undefined : sent.map(({ workload: name, epoch }) => `${name} ${epoch}`).sort();
    });
    expect(removals).toEqual(["fresh 1", "half 3", "held 3"]);
    const isStart = ({ action }: Command) => action.case === "startWorkload" || action.case === "restoreSnapshot";
    expect(cloud.agents.get("n2")?.commands.filter(isStart)).toEqual([]);
    expect(await workload("half")).toMatchObject({ nodeId: "n3", epoch: "3", state: "WORKLOAD_STATE_RUNNING" });
  }, 60_000);
});
