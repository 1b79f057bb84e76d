// The guard rails as an operator meets them, through the whole control plane: what each holds back, what a person or a notice may do all the same, and
// what the decision says of it.
import { type Command, CommandOutcome } from "@aether/contract/gen/aether/v2/agent_pb";
import { SignalKind } from "@aether/contract/gen/aether/v2/signal_pb";
import { sleep, until } from "@aether/kit";
import { timestampFromMs, timestampNow } from "@bufbuild/protobuf/wkt";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { connectAgent, enrol } from "../testing/core-under-test.ts";
import { type MovingCloud, startMovingCloud } from "../testing/moving-cloud.ts";

let cloud: MovingCloud;
const call: MovingCloud["core"]["call"] = (...asked) => cloud.core.call(...asked);
/** Nodes to which nothing can be copied. */
const unreachable = new Set<string>();
const answer = ({ action }: Command) =>
  action.case === "copy" && unreachable.has(action.value.peer?.nodeId ?? "")
    ? { outcome: CommandOutcome.FAILED, error: { code: "TRANSFER_FAILED", message: "the link broke" } }
    : undefined;

beforeAll(async () => {
  const moves = { atOnce: 1, circuitFailures: 2, restSeconds: 600 };
  cloud = await startMovingCloud({ stepMs: 40, config: { decision: { onRebalance: "migrate" }, moves }, answer });
  await cloud.join("n3");
  for (const [name, nodeId] of [
    ["a", "n1"],
    ["b", "n2"],
    ["c", "n2"],
    ["d", "n3"],
  ]) {
    const spec = { name, rootfs: "host", argv: ["/bin/true"], memoryLimitBytes: String(64 << 20) };
    expect((await call("POST", "/api/v2/workloads", { spec, nodeId })).status).toBe(200);
  }
}, 60_000);
afterAll(() => cloud.stop());

let sequence = 100n;
const say = (nodeId: string, kind: SignalKind, action = "terminate") =>
  cloud.agents.get(nodeId)?.say({
    case: "signal",
    value: {
      sequence: ++sequence,
      kind,
      observedAt: timestampNow(),
      source: "imds",
      action,
      ...(kind === SignalKind.NOTICE ? { effectiveAt: timestampFromMs(Date.now() + 120_000) } : {}),
    },
  });
interface Move {
  readonly id: string;
  readonly workload: string;
  readonly state: string;
  readonly targetNodeId: string;
}
const moves = async (workload: string): Promise<Move[]> => (await call("GET", `/api/v2/migrations?workload=${workload}`)).body.migrations;
const guards = async () => (await call("GET", "/api/v2/guards")).body.guards;
const ended = (id: string) =>
  until(`the end of ${id}`, 20, 10_000, async () => {
    const { migration } = (await call("GET", `/api/v2/migrations/${id}`)).body;
    return migration.endedAt === undefined ? undefined : (migration as Move);
  });
const byHand = async (workload: string, targetNodeId: string) => {
  const { status, body } = await call("POST", `/api/v2/workloads/${workload}:migrate`, { targetNodeId });
  expect([status, body.error?.message]).toEqual([200, undefined]);
  return ended(body.migration.id);
};
const decisionOn = (nodeId: string, rule: string) =>
  until(`${rule} on ${nodeId}`, 20, 10_000, async () => {
    const { decisions } = (await call("GET", `/api/v2/decisions?nodeId=${nodeId}`)).body;
    return decisions.find((each: { rule: string }) => each.rule === rule);
  });
const notes = (decision: { guards: { guard: string; subject: string; effect: string }[] }) =>
  decision.guards.map(({ guard, subject, effect }) => `${guard} ${subject} ${effect}`);

describe("guard rails", () => {
  it("a workload whose moves failed rests, longer with each failure, and so does the pair of nodes", async () => {
    unreachable.add("n2");
    const restsMs: number[] = [];
    for (let failures = 1; failures <= 2; failures++) {
      expect(await byHand("a", "n2")).toMatchObject({ state: "MIGRATION_STATE_ROLLED_BACK", error: { code: "TRANSFER_FAILED" } });
      const { resting, openCircuits } = await guards();
      expect(resting).toMatchObject([{ workload: "a", failures }]);
      restsMs.push(Date.parse(resting[0].until) - Date.now());
      expect(openCircuits).toHaveLength(failures === 2 ? 1 : 0);
    }
    expect(restsMs[1]).toBeGreaterThan((restsMs[0] ?? 0) * 1.8);
    expect((await guards()).openCircuits).toMatchObject([
      { sourceNodeId: "n1", targetNodeId: "n2", failures: 2, lastError: "TRANSFER_FAILED" },
    ]);
  });

  it("no recommendation moves what rests; a notice does, and says so, but not over a pair that failed", async () => {
    say("n1", SignalKind.REBALANCE);
    const rest = await decisionOn("n1", "rebalance-resting");
    expect(rest).toMatchObject({ action: "hold", moves: [{ workload: "a", action: "stay" }] });
    expect(notes(rest)).toContain("resting a refused");
    say("n1", SignalKind.NOTICE);
    const notice = await decisionOn("n1", "notice-evacuate");
    expect(notice.moves).toMatchObject([{ workload: "a", action: "move", targetNodeId: "n3" }]);
    expect(notes(notice)).toContain("resting a overridden");
    const other = notice.moves[0].candidates.find(({ nodeId }: { nodeId: string }) => nodeId === "n2");
    expect(other.reasons.join()).toContain("failed in a row");
    expect(await ended(notice.moves[0].migrationId)).toMatchObject({ state: "MIGRATION_STATE_DONE" });
    say("n1", SignalKind.WITHDRAWN);
    say("n1", SignalKind.WITHDRAWN, "rebalance");
    unreachable.clear();
    await until("n1 to be free again", 20, 5_000, async () =>
      (await call("GET", "/api/v2/nodes/n1")).body.node.interruptionAt ? undefined : true,
    );
  });

  it("outside of the windows only what is forced moves", async () => {
    const far = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"][(new Date().getUTCDay() + 3) % 7];
    expect((await call("PUT", "/api/v2/guards/windows", { windows: [{ days: [far], from: "10:00", to: "11:00" }] })).status).toBe(200);
    say("n2", SignalKind.REBALANCE);
    const decision = await decisionOn("n2", "rebalance-outside-window");
    expect([decision.action, notes(decision)]).toEqual(["hold", ["window n2 refused"]]);
    await call("PUT", "/api/v2/guards/windows", { windows: [] });
    say("n2", SignalKind.WITHDRAWN, "rebalance");
  });

  it("the kill switch holds what has not begun, lets what is under way end and what a person asks for through; moves go one at a time", async () => {
    say("n2", SignalKind.NOTICE);
    const notice = await decisionOn("n2", "notice-evacuate");
    const ids: string[] = notice.moves.map((each: { migrationId: string }) => each.migrationId);
    expect(ids).toHaveLength(2);
    const states = async () =>
      (await Promise.all(ids.map(async (id) => (await call("GET", `/api/v2/migrations/${id}`)).body.migration.state as string))).sort();
    await until("one to be under way", 5, 5_000, async () => ((await guards()).movesUnderWay === 1 ? true : undefined));
    const paused = await call("POST", "/api/v2/guards:pause", { reason: "a switch is replaced" });
    expect(paused.body.guards).toMatchObject({ isPaused: true, pausedReason: "a switch is replaced" });
    await until("the one under way to end", 20, 10_000, async () => ((await states()).includes("MIGRATION_STATE_DONE") ? true : undefined));
    // Longer than the sweep that would begin it.
    await sleep(1_300);
    expect(await states()).toEqual(["MIGRATION_STATE_DONE", "MIGRATION_STATE_PLANNED"]);
    expect(await byHand("d", "n1")).toMatchObject({ state: "MIGRATION_STATE_DONE" });
    expect(await states()).toEqual(["MIGRATION_STATE_DONE", "MIGRATION_STATE_PLANNED"]);
    await call("POST", "/api/v2/guards:resume", {});
    await until("the other one to go", 20, 10_000, async () =>
      (await states()).every((state) => state === "MIGRATION_STATE_DONE") ? true : undefined,
    );
    const begun = (await Promise.all(["b", "c"].map(moves))).flat();
    expect(begun).toHaveLength(2);
  }, 40_000);

  it("a command that waits is taken back; one that has ended is not", async () => {
    const agent = await connectAgent(cloud.core, await enrol(cloud.core, "n4"), ({ action }) =>
      action.case === "preflight" ? undefined : { outcome: CommandOutcome.OK },
    );
    const spec = { name: "e", rootfs: "host", argv: ["/bin/true"] };
    expect((await call("POST", "/api/v2/workloads", { spec, nodeId: "n4" })).status).toBe(200);
    const queued = call("POST", "/api/v2/commands/queue", { workload: "e", action: "QUEUED_ACTION_PREFLIGHT" });
    const { id } = await until("the preflight to be on record", 20, 5_000, async () => {
      const { commands } = (await call("GET", "/api/v2/commands?workload=e")).body;
      return commands.find((each: { action: string; outcome: string }) => each.action === "preflight" && each.outcome === "waiting");
    });
    const cancelled = call("POST", `/api/v2/commands/${id}:cancel`, {});
    const heard = await agent.hears((message) => message.case === "cancelCommandId");
    expect(heard.message.value).toBe(id);
    const error = { code: "CANCELLED", message: "it was taken back" };
    agent.say({ case: "result", value: { commandId: id, outcome: CommandOutcome.REFUSED, error } });
    expect((await queued).body.command).toMatchObject({ id, outcome: "refused", error: { code: "CANCELLED" } });
    expect((await cancelled).status).toBe(200);
    const late = await call("POST", `/api/v2/commands/${id}:cancel`, {});
    expect([late.status, late.body.error.code]).toEqual([400, "COMMAND_ENDED"]);
    expect((await call("POST", "/api/v2/commands/none:cancel", {})).body.error.code).toBe("COMMAND_NOT_FOUND");
    await agent.disconnect();
  });
});
