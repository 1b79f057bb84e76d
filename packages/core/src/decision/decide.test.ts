import { NodeCapabilitiesSchema } from "@aether/contract/gen/aether/v2/node_pb";
import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import type { NodeView } from "../migration/plan.ts";
import { type DecisionInput, decide, type WorkloadView } from "./decide.ts";

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
  migration: undefined,
  ...over,
});
const input = (over: Partial<DecisionInput> = {}): DecisionInput => ({
  signal: { kind: "notice", nodeId: "n1", effectiveAtMs: nowMs + 120_000 },
  workloads: [workload("db")],
  nodes: [node("n1", { announced: "notice" }), node("n2")],
  policy: { onRebalance: "migrate" },
  ...over,
});

describe("decide", () => {
  it("moves everything on a notice, and keeps the candidates", () => {
    const plan = decide(input(), nowMs);
    expect(plan).toMatchObject({
      action: "migrate",
      rule: "notice-evacuate",
      moves: [{ workload: "db", targetNodeId: "n2", refusal: "" }],
    });
    expect(plan.moves[0]?.candidates.map((each) => each.nodeId)).toEqual(["n2", "n1"]);
    expect(plan.reason).toContain("gone in 120 s");
  });

  it("says for each workload why it stays, and moves the rest", () => {
    const plan = decide(
      input({
        workloads: [
          workload("a"),
          workload("b"),
          workload("c", { state: "starting" }),
          workload("d", { state: "migrating", migration: { id: "mig-7", targetNodeId: "n3" } }),
        ],
      }),
      nowMs,
    );
    const by = Object.fromEntries(plan.moves.map((move) => [move.workload, move]));
    expect(by.a).toMatchObject({ targetNodeId: "n2", refusal: "" });
    expect(by.b?.refusal).toContain("MiB needed");
    expect(by.c?.refusal).toBe("it does not run (starting)");
    expect(by.d).toMatchObject({ migrationId: "mig-7", targetNodeId: "n3", refusal: "" });
  });

  it.each([
    ["signal-withdrawn", "none", input({ signal: { kind: "withdrawn", nodeId: "n1", effectiveAtMs: undefined } })],
    ["node-lost-hold", "hold", input({ signal: { kind: "node_lost", nodeId: "n1", effectiveAtMs: undefined } })],
    ["nothing-to-move", "none", input({ workloads: [] })],
    ["notice-expired", "hold", input({ signal: { kind: "notice", nodeId: "n1", effectiveAtMs: nowMs } })],
    ["notice-no-target", "hold", input({ nodes: [node("n1"), node("n2", { announced: "notice" })] })],
    ["notice-no-target", "hold", input({ nodes: [node("n1")] })],
    ["rebalance-early-move", "migrate", input({ signal: { kind: "rebalance", nodeId: "n1", effectiveAtMs: undefined } })],
    ["rebalance-no-target", "hold", input({ signal: { kind: "rebalance", nodeId: "n1", effectiveAtMs: undefined }, nodes: [node("n1")] })],
    [
      "rebalance-policy-hold",
      "hold",
      input({ signal: { kind: "rebalance", nodeId: "n1", effectiveAtMs: undefined }, policy: { onRebalance: "hold" } }),
    ],
  ] as const)("%s: %s", (rule, action, given) => {
    const plan = decide(given, nowMs);
    expect(plan).toMatchObject({ rule, action });
    expect(plan.reason).not.toBe("");
    if (action === "hold") expect(plan.moves.every((move) => move.refusal !== "")).toBe(true);
  });
});
