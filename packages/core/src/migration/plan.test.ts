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
    const behind = create(NodeCapabilitiesSchema, { arch: "x64", cpuFeatures: ["avx"], criu: { available: true, version: "4.1" } });
    const scores = scoreTargets(need, [
      node("n1"),
      node("away", { isConnected: false }),
      node("closed", { isCordoned: true }),
      node("doomed", { announced: "notice" }),
      node("shaky", { announced: "rebalance" }),
      node("lame", { capabilities: lame }),
      node("old", { capabilities: old }),
      node("behind", { capabilities: behind }),
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
      behind: "the target's CRIU 4.1 is older than the one that writes the images (4.2.1)",
      full: "1024 MiB free, 1088 MiB needed",
    });
  });

  it("prefers safety, a lower price and a zone that reaches its shared volumes, and says so in parts that add up", () => {
    const rich = { usdPerHour: 0.1, riskPerHour: 0.05, zone: "a", instanceType: "m6i.large" };
    const here = node("n1", rich);
    const nodes = [
      here,
      node("safe", { ...rich, instanceType: "m5.large", riskPerHour: 0.01 }),
      node("cheap", { ...rich, instanceType: "m5.large", usdPerHour: 0.02 }),
      node("plain", { ...rich, instanceType: "m5.large" }),
      node("shaky", { ...rich, instanceType: "m5.large", riskPerHour: 0.2, usdPerHour: 0.3 }),
      node("far", { ...rich, instanceType: "m5.large", zone: "b" }),
      node("twin", rich),
    ];
    const scores = scoreTargets({ ...need, hasSharedVolume: true, leftRecently: new Set(["shaky"]) }, nodes);
    expect(scores.map(({ nodeId }) => nodeId)).toEqual(["safe", "cheap", "plain", "far", "twin", "shaky", "n1"]);
    const { safe, far, twin, shaky } = Object.fromEntries(scores.map((score) => [score.nodeId, score]));
    expect(safe?.reasons).toEqual(expect.arrayContaining(["1.0 % an hour to be interrupted (+0.182)", "0.1000 USD an hour (+0.050)"]));
    expect(far?.reasons).toContain("another zone, and it has a shared volume: b (-0.200)");
    expect(twin?.reasons).toContain("the same pool, m6i.large/a (-0.300)");
    expect(shaky?.reasons).toContain("it came from there a short time ago (-0.500)");
    for (const { score, reasons, isEligible } of scores) {
      const points = reasons.map((reason) => Number(/\(([+-]\d\.\d+)\)$/.exec(reason)?.[1] ?? 0));
      if (isEligible)
        expect(
          points.reduce((sum, each) => sum + each, 0),
          reasons.join(),
        ).toBeCloseTo(score, 2);
    }
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
