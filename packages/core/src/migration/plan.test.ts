import { NodeCapabilitiesSchema } from "@aether/contract/gen/aether/v2/node_pb";
import { create } from "@bufbuild/protobuf";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type NodeView, scoreTargets } from "./plan.ts";

const gibibyte = 2 ** 30;
const node = (id: string, over: Partial<NodeView> = {}): NodeView => ({
  id,
  isConnected: true,
  isCordoned: false,
  announced: undefined,
  capabilities: create(NodeCapabilitiesSchema, { arch: "x64", cpuFeatures: ["avx"], criu: { available: true, version: "4.2.1" } }),
  memoryAvailableBytes: 4 * gibibyte,
  memoryBytes: 8 * gibibyte,
  cpuFraction: 0,
  workloadCount: 0,
  ...over,
});
const need = { name: "db", nodeId: "n1", memoryBytes: gibibyte };

describe("scoreTargets", () => {
  it("says of every node why it can or cannot", () => {
    const lame = create(NodeCapabilitiesSchema, {
      arch: "x64",
      cpuFeatures: ["avx"],
      criu: { available: false, reason: "the canary failed" },
    });
    const old = create(NodeCapabilitiesSchema, { arch: "x64", criu: { available: true } });
    const scores = scoreTargets(need, [
      node("n1"),
      node("away", { isConnected: false }),
      node("closed", { isCordoned: true }),
      node("doomed", { announced: "notice" }),
      node("shaky", { announced: "rebalance" }),
      node("lame", { capabilities: lame }),
      node("old", { capabilities: old }),
      node("full", { memoryAvailableBytes: gibibyte }),
      node("unknown", { capabilities: undefined }),
      node("good"),
    ]);
    expect(scores[0]).toMatchObject({ nodeId: "good", isEligible: true });
    expect(scores.filter((score) => score.isEligible)).toHaveLength(1);
    const why = Object.fromEntries(scores.map((score) => [score.nodeId, score.reasons.join("; ")]));
    expect(why).toMatchObject({
      n1: "it runs there",
      away: "not connected",
      closed: "cordoned",
      doomed: "its own interruption is announced",
      shaky: "a rebalance is recommended for it",
      lame: "cannot restore: the canary failed",
      old: "lacks processor features avx",
      full: "1024 MiB free, 1088 MiB needed",
    });
  });

  it("prefers room, idleness and quiet, and is the same for any order of the nodes", () => {
    fc.assert(
      fc.property(fc.shuffledSubarray(["a", "b", "c"], { minLength: 3 }), (order) => {
        const all = { a: node("a", { cpuFraction: 0.9 }), b: node("b"), c: node("c", { workloadCount: 3 }) };
        const scores = scoreTargets(need, [node("n1"), ...order.map((id) => all[id as "a"])]);
        expect(scores.map((score) => score.nodeId)).toEqual(["b", "c", "a", "n1"]);
      }),
    );
  });
});
