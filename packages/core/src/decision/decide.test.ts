import { MaintenanceWindowSchema } from "@aether/contract/gen/aether/v2/guard_pb";
import { NodeCapabilitiesSchema } from "@aether/contract/gen/aether/v2/node_pb";
import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { type NodeView, noContext, poolsUnderSignal } from "../migration/plan.ts";
import { decide } from "./decide.ts";
import type { DecisionInput, RailsView, SignalView, WorkloadView } from "./input.ts";
import type { DecisionPlan } from "./rules.ts";

const nowMs = 1_000_000;
const node = (id: string, over: Partial<NodeView> = {}): NodeView => ({
  id,
  isConnected: true,
  isCordoned: false,
  announced: undefined,
  capabilities: create(NodeCapabilitiesSchema, { arch: "x64", criu: { available: true } }),
  memoryAvailableBytes: 1 << 30,
  memoryBytes: 2 ** 31,
  cpuFraction: 0,
  workloadCount: 0,
  ...over,
});
const workload = (name: string, over: Partial<WorkloadView> = {}): WorkloadView => ({
  name,
  state: "running",
  memoryBytes: 600 << 20,
  priority: 0,
  needs: undefined,
  hasSharedVolume: false,
  times: { timeToSafeMs: 3_000, freezeMs: 400, transferMs: 1_000, snapshotMs: 2_000 },
  migration: undefined,
  ...over,
});
const signal = (over: Partial<SignalView> = {}): SignalView => ({
  id: "sig-1",
  kind: "notice",
  nodeId: "n1",
  effectiveAtMs: nowMs + 120_000,
  ...over,
});
const rails = (over: Partial<RailsView> = {}): RailsView => ({
  isPaused: false,
  pausedReason: "",
  isInWindow: true,
  resting: new Map(),
  leftRecently: new Map(),
  limits: { movesAtOnce: 32, movesEach: 4, busy: new Map(), busyInAll: 0 },
  ...over,
});
const input = (over: Partial<DecisionInput> = {}): DecisionInput => ({
  signals: [signal()],
  workloads: new Map([["n1", [workload("db")]]]),
  nodes: [node("n1", { announced: "notice" }), node("n2")],
  context: noContext,
  rails: rails(),
  policy: { onRebalance: "migrate" },
  weighed: new Map(),
  ...over,
});
const on = (...workloads: WorkloadView[]) => new Map([["n1", workloads]]);
const rebalance = signal({ kind: "rebalance", effectiveAtMs: undefined });
const dayAfterTomorrow = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"][(new Date(nowMs).getUTCDay() + 2) % 7] ?? "";
const rest = { workload: "db", untilMs: nowMs + 1, failures: 0, reason: "it moved 5 s ago" };

function decided(given: DecisionInput): DecisionPlan {
  const plan = decide(given, nowMs).get("sig-1");
  if (plan === undefined) throw new Error("no decision");
  return plan;
}

describe("decide", () => {
  it("keeps what is outside of its own policies' windows, moves the rest, and lets a notice pass", () => {
    const windows = [
      { source: "policy/never@1", value: [create(MaintenanceWindowSchema, { days: [dayAfterTomorrow], from: "10:00", to: "11:00" })] },
    ];
    const there = on(workload("a", { windows, memoryBytes: 1 << 20 }), workload("b", { memoryBytes: 1 << 20 }));
    const plan = decided(input({ signals: [rebalance], workloads: there }));
    expect(plan.moves.map((move) => [move.workload, move.action, move.refusal])).toEqual([
      ["a", "stay", "outside of the windows of policy/never@1"],
      ["b", "move", ""],
    ]);
    expect(decided(input({ workloads: there })).moves.map(({ action }) => action)).toEqual(["move", "move"]);
    const rests = rails({ resting: new Map([["b", rest]]) });
    const held = decided(input({ signals: [rebalance], workloads: there, rails: rests }));
    expect([held.rule, ...held.moves.map(({ refusal }) => refusal)]).toEqual([
      "rebalance-resting",
      "outside of the windows of policy/never@1",
      "it rests",
    ]);
    const alone = decided(input({ signals: [rebalance], workloads: on(workload("a", { windows })) }));
    expect(alone).toMatchObject({ action: "hold", rule: "rebalance-outside-window", guards: [{ guard: "window", subject: "a" }] });
  });

  it("moves everything on a notice, and keeps the candidates, the inputs and what else could have been done", () => {
    const plan = decided(input());
    expect(plan).toMatchObject({
      action: "migrate",
      rule: "notice-evacuate",
      moves: [{ workload: "db", targetNodeId: "n2", refusal: "", action: "move" }],
    });
    expect(plan.moves[0]?.candidates.map((each) => each.nodeId)).toEqual(["n2", "n1"]);
    expect(plan.reason).toContain("gone in 120 s");
    expect(plan.inputs.find((each) => each.name === "time left")?.value).toBe("120.0 s");
    expect(plan.alternatives[0]).toContain("stay");
  });

  it("says for each workload why it stays, and moves the rest", () => {
    const plan = decided(
      input({
        workloads: on(
          workload("a"),
          workload("b"),
          workload("c", { state: "starting" }),
          workload("d", { state: "migrating", migration: { id: "mig-7", targetNodeId: "n3" } }),
        ),
      }),
    );
    const by = Object.fromEntries(plan.moves.map((move) => [move.workload, move]));
    expect(by.a).toMatchObject({ targetNodeId: "n2", refusal: "" });
    expect(by.b?.refusal).toContain("MiB needed");
    expect(by.b?.action).toBe("snapshot");
    expect(by.c?.refusal).toBe("it does not run (starting)");
    expect(by.d).toMatchObject({ migrationId: "mig-7", targetNodeId: "n3", refusal: "" });
  });

  it("moves a small one in the last six seconds, and says at once what would not make it", () => {
    const soon = [signal({ effectiveAtMs: nowMs + 6_000 })];
    const small = workload("small", {
      memoryBytes: 10 << 20,
      times: { timeToSafeMs: 1_500, freezeMs: 400, transferMs: 100, snapshotMs: 1_000 },
    });
    const large = workload("large", { times: { timeToSafeMs: 20_000, freezeMs: 900, transferMs: 15_000, snapshotMs: 4_000 } });
    const plan = decided(input({ signals: soon, workloads: on(small, large) }));
    expect(plan.moves.map((move) => [move.workload, move.action])).toEqual([
      ["large", "snapshot"],
      ["small", "move"],
    ]);
    const hopeless = decided(input({ signals: [signal({ effectiveAtMs: nowMs + 2_000 })], workloads: on(large) }));
    expect(hopeless).toMatchObject({ action: "hold", rule: "notice-no-target" });
    expect(hopeless.reason).toContain("at the soonest");
  });

  it("plans a wave as one: two nodes do not get the same room twice, nor a pool that goes", () => {
    const pool = { instanceType: "m5.large", zone: "a" };
    const nodes = [
      node("n1", { announced: "notice", ...pool }),
      node("n2", { announced: "notice", ...pool }),
      node("mate", pool),
      node("t", { zone: "b", instanceType: "m5.large" }),
    ];
    const plans = decide(
      input({
        signals: [signal(), signal({ id: "sig-2", nodeId: "n2" })],
        workloads: new Map([
          ["n1", [workload("a")]],
          ["n2", [workload("b", { priority: 5 })]],
        ]),
        nodes,
        context: { ...noContext, poolsUnderSignal: poolsUnderSignal(nodes) },
      }),
      nowMs,
    );
    expect(plans.get("sig-2")?.moves[0]).toMatchObject({ targetNodeId: "t" });
    expect(plans.get("sig-1")?.moves[0]).toMatchObject({ targetNodeId: "mate", guards: [{ guard: "pool_signal", effect: "overridden" }] });
  });

  it("names the rails that bit, and those that a notice did not wait for", () => {
    const resting = rails({ resting: new Map([["db", rest]]) });
    const nodes = [node("n1"), node("n2")];
    expect(decided(input({ rails: resting })).guards).toMatchObject([{ guard: "resting", effect: "overridden" }]);
    expect(decided(input({ signals: [rebalance], nodes, rails: resting }))).toMatchObject({
      rule: "rebalance-resting",
      guards: [{ guard: "resting", effect: "refused" }],
    });
    const two = decided(
      input({ signals: [rebalance], nodes, workloads: on(workload("db"), workload("web", { memoryBytes: 1 << 20 })), rails: resting }),
    );
    expect(two.moves.map((move) => [move.workload, move.action])).toEqual([
      ["db", "stay"],
      ["web", "move"],
    ]);
    const few = rails({ limits: { movesAtOnce: 1, movesEach: 4, busy: new Map(), busyInAll: 0 } });
    const late = decided(
      input({ rails: few, workloads: on(workload("a", { memoryBytes: 1 << 20 }), workload("b", { memoryBytes: 1 << 20 })) }),
    );
    expect(late.guards).toMatchObject([{ guard: "moves_at_once", effect: "delayed" }]);
  });

  it.each<[string, string, DecisionInput]>([
    ["signal-withdrawn", "none", input({ signals: [signal({ kind: "withdrawn" })] })],
    ["node-lost-hold", "hold", input({ signals: [signal({ kind: "node_lost" })] })],
    ["nothing-to-move", "none", input({ workloads: new Map() })],
    ["notice-expired", "hold", input({ signals: [signal({ effectiveAtMs: nowMs })] })],
    ["moves-paused", "hold", input({ rails: rails({ isPaused: true, pausedReason: "tonight" }) })],
    ["notice-snapshot", "snapshot", input({ nodes: [node("n1"), node("n2", { announced: "notice" })] })],
    ["notice-snapshot", "snapshot", input({ nodes: [node("n1")] })],
    ["rebalance-early-move", "migrate", input({ signals: [rebalance] })],
    ["rebalance-no-target", "hold", input({ signals: [rebalance], nodes: [node("n1")] })],
    ["rebalance-policy-hold", "hold", input({ signals: [rebalance], policy: { onRebalance: "hold" } })],
    ["rebalance-outside-window", "hold", input({ signals: [rebalance], rails: rails({ isInWindow: false }) })],
    ["superseded", "none", input({ signals: [rebalance, signal({ id: "sig-2" })] })],
  ])("%s: %s", (rule, action, given) => {
    const plan = decided(given);
    expect(plan).toMatchObject({ rule, action });
    expect(plan.reason).not.toBe("");
    if (action === "hold") expect(plan.moves.every((move) => move.refusal !== "")).toBe(true);
  });
});

describe("weighing", () => {
  const weighed = (action: "migrate" | "stay", stayUsd = 1) => ({
    action,
    rule: action === "stay" ? ("does-not-pay" as const) : ("pays" as const),
    stayUsd,
    moveUsd: 0.5,
    threshold: 1.5,
    reason: `staying is expected to lose ${stayUsd} USD`,
  });
  const weigh = { onRebalance: "weigh" } as const;
  const risk = signal({ kind: "risk", effectiveAtMs: undefined });
  const two = on(workload("a", { memoryBytes: 1 << 20 }), workload("b", { memoryBytes: 1 << 20 }));

  it("moves on a recommendation only what is expected to pay, and keeps the sums", () => {
    const plan = decided(
      input({
        signals: [rebalance],
        workloads: two,
        policy: weigh,
        weighed: new Map([
          ["a", weighed("migrate")],
          ["b", weighed("stay", 0.1)],
        ]),
      }),
    );
    expect(plan).toMatchObject({ action: "migrate", rule: "rebalance-early-move", score: 2, threshold: 1.5 });
    expect(plan.moves.map(({ workload: name, action, refusal }) => [name, action, refusal])).toEqual([
      ["a", "move", ""],
      ["b", "stay", "it does not pay to move: staying is expected to lose 0.1 USD"],
    ]);
    expect(plan.inputs).toContainEqual({ name: "does a move of a pay", value: "staying is expected to lose 1 USD" });
  });

  it.each([
    [rebalance, "rebalance-does-not-pay"],
    [risk, "risk-does-not-pay"],
  ] as const)("holds when nothing pays", (each, rule) => {
    const side = (nodeId: string, probability: number) => ({ nodeId, probability, usdPerHour: 0.04 });
    const sides = { modelVersion: "hazard-1", horizonSeconds: 3600, here: side("n1", 0.25), target: side("n2", 0.2) };
    const plan = decided(input({ signals: [each], policy: weigh, weighed: new Map([["db", { ...weighed("stay", 0.3), sides }]]) }));
    expect(plan.inputs).toEqual(
      expect.arrayContaining([
        { name: "risk model", value: "hazard-1" },
        { name: "interruption of n1 within 60 min", value: "25.0 %, at 0.04 USD an hour" },
        { name: "interruption of n2 within 60 min", value: "20.0 %, at 0.04 USD an hour" },
      ]),
    );
    expect(plan).toMatchObject({ action: "hold", rule, score: 0.6, threshold: 1.5 });
    expect(plan.reason).toContain("staying is expected to lose 0.3 USD");
  });

  it("moves for a risk that pays, within the guard rails", () => {
    const pays = { signals: [risk], policy: weigh, weighed: new Map([["db", weighed("migrate")]]) };
    expect(decided(input(pays))).toMatchObject({ action: "migrate", rule: "risk-early-move" });
    expect(decided(input({ ...pays, rails: rails({ isInWindow: false }) }))).toMatchObject({ action: "hold", rule: "risk-outside-window" });
    expect(decided(input({ ...pays, rails: rails({ resting: new Map([["db", rest]]) }) }))).toMatchObject({
      action: "hold",
      rule: "risk-resting",
    });
    expect(decided(input({ ...pays, nodes: [node("n1")] }))).toMatchObject({ action: "hold", rule: "risk-no-target" });
  });

  it("never weighs a notice, and moves everything where the policy says so", () => {
    const stays = new Map([["db", weighed("stay")]]);
    expect(decided(input({ policy: weigh, weighed: stays }))).toMatchObject({ action: "migrate", rule: "notice-evacuate" });
    expect(decided(input({ signals: [rebalance], weighed: stays }))).toMatchObject({ action: "migrate", rule: "rebalance-early-move" });
    expect(decided(input({ signals: [rebalance], policy: weigh }))).toMatchObject({ action: "migrate" });
  });
});
