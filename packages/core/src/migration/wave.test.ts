import { NodeCapabilitiesSchema } from "@aether/contract/gen/aether/v2/node_pb";
import { create } from "@bufbuild/protobuf";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type NodeView, noContext, poolOf, poolsUnderSignal, type ScoreContext, scoreTargets, spareMemoryBytes } from "./plan.ts";
import { createTargets } from "./targets.ts";
import { lateMs, planWave, type WaveLimits, type WaveMove, type WaveNeed } from "./wave.ts";

const gibibyte = 2 ** 30;
const capabilities = create(NodeCapabilitiesSchema, { arch: "x64", cpuFeatures: ["avx"], criu: { available: true } });
const node = (id: string, over: Partial<NodeView> = {}): NodeView => ({
  id,
  isConnected: true,
  isCordoned: false,
  announced: undefined,
  capabilities,
  memoryAvailableBytes: 4 * gibibyte,
  memoryBytes: 8 * gibibyte,
  cpuFraction: 0,
  workloadCount: 0,
  ...over,
});
const need = (name: string, over: Partial<WaveNeed> = {}): WaveNeed => ({
  name,
  nodeId: "n1",
  memoryBytes: gibibyte / 2,
  priority: 0,
  leftMs: 120_000,
  times: { timeToSafeMs: 10_000, freezeMs: 500, transferMs: 8_000, snapshotMs: 3_000 },
  ...over,
});
const limits = (over: Partial<WaveLimits> = {}): WaveLimits => ({ movesAtOnce: 32, movesEach: 4, busy: new Map(), busyInAll: 0, ...over });
const moved = (plan: readonly WaveMove[]) => plan.filter((move) => move.action === "move");

describe("planWave", () => {
  it("lets the more important leave first, and snapshots what cannot make it", () => {
    const needs = [need("low"), need("high", { priority: 9 }), need("mid", { priority: 5 })].map((each) => ({ ...each, leftMs: 20_000 }));
    const plan = planWave(needs, [node("n1", { announced: "notice" }), node("n2")], noContext, limits());
    expect(plan.map((move) => [move.need.name, move.action])).toEqual([
      ["high", "move"],
      ["mid", "move"],
      ["low", "snapshot"],
    ]);
    expect(plan[2]?.reason).toContain("at the soonest");
    const late = planWave([need("late", { leftMs: 2_000 })], [node("n1"), node("n2")], noContext, limits());
    expect(late[0]).toMatchObject({ action: "stay" });
  });

  it("goes to a pool under a signal only when nothing else is left, and says so", () => {
    const pool = { instanceType: "m5.large", zone: "a" };
    const nodes = [
      node("n1", { announced: "notice", ...pool }),
      node("mate", pool),
      node("other", { instanceType: "m5.large", zone: "b", cpuFraction: 0.9 }),
    ];
    const context: ScoreContext = { ...noContext, poolsUnderSignal: poolsUnderSignal(nodes) };
    expect(planWave([need("db")], nodes, context, limits())[0]).toMatchObject({ targetNodeId: "other", guards: [] });
    const last = planWave([need("db")], nodes.slice(0, 2), context, limits())[0];
    expect(last).toMatchObject({ targetNodeId: "mate", guards: [{ guard: "pool_signal", effect: "overridden" }] });
    expect(planWave([need("db", { leftMs: undefined })], nodes.slice(0, 2), context, limits())[0]).toMatchObject({ action: "stay" });
  });

  it("does not go back and forth, nor over a pair that failed in a row", () => {
    const nodes = [node("n1"), node("n2"), node("n3", { cpuFraction: 0.5 })];
    expect(planWave([need("db", { leftRecently: new Set(["n2"]) })], nodes, noContext, limits())[0]?.targetNodeId).toBe("n3");
    expect(planWave([need("db")], nodes, { ...noContext, openCircuits: new Set(["n1 n2"]) }, limits())[0]?.targetNodeId).toBe("n3");
  });

  it("spreads over pools", () => {
    const nodes = [node("n1"), ...["a", "b", "c"].flatMap((zone) => [1, 2].map((i) => node(`${zone}${i}`, { instanceType: "m5", zone })))];
    const plan = planWave(
      ["w1", "w2", "w3"].map((name) => need(name)),
      nodes,
      noContext,
      limits(),
    );
    expect(new Set(moved(plan).map((move) => move.targetNodeId[0])).size).toBe(3);
  });

  it("never gives a target more than it has, a node more than it may carry, a workload two owners; every move is inside its time", () => {
    const anyNeed = fc.record({
      nodeId: fc.constantFrom("n1", "n2"),
      gib: fc.double({ min: 0.1, max: 3, noNaN: true }),
      priority: fc.nat(3),
      leftMs: fc.option(fc.integer({ min: 1, max: 130_000 }), { nil: undefined }),
      timeToSafeMs: fc.integer({ min: 200, max: 60_000 }),
      share: fc.double({ min: 0, max: 1, noNaN: true }),
    });
    // Mostly nodes that can take something: where hardly anything moves, nothing can be broken.
    const mostly = fc.nat(9).map((n) => n > 0);
    const anyNode = fc.record({
      gib: fc.double({ min: 0, max: 6, noNaN: true }),
      zone: fc.constantFrom("a", "b", "b", "b"),
      announced: fc.nat(9).map((n) => (n === 0 ? ("notice" as const) : n === 1 ? ("rebalance" as const) : undefined)),
      isConnected: mostly,
      isCordoned: mostly.map((is) => !is),
    });
    fc.assert(
      fc.property(
        fc.array(anyNeed, { minLength: 3, maxLength: 25, size: "max" }),
        fc.array(anyNode, { minLength: 1, maxLength: 8, size: "max" }),
        fc.integer({ min: 1, max: 4 }),
        fc.integer({ min: 1, max: 8 }),
        (wants, rooms, movesEach, movesAtOnce) => {
          const needs = wants.map(({ nodeId, gib, timeToSafeMs, share, ...rest }, i) =>
            need(`w${i}`, {
              nodeId,
              memoryBytes: gib * gibibyte,
              times: { timeToSafeMs, freezeMs: 300, transferMs: timeToSafeMs * share, snapshotMs: 2_000 },
              ...rest,
            }),
          );
          const nodes = [
            node("n1", { announced: "notice", instanceType: "m", zone: "a" }),
            node("n2", { announced: "notice", instanceType: "m", zone: "c" }),
            ...rooms.map(({ gib, ...rest }, i) => node(`t${i}`, { memoryAvailableBytes: gib * gibibyte, instanceType: "m", ...rest })),
          ];
          const context: ScoreContext = { ...noContext, poolsUnderSignal: poolsUnderSignal(nodes) };
          const plan = planWave(needs, nodes, context, limits({ movesEach, movesAtOnce }));
          // Every workload exactly once.
          expect(plan.map((move) => move.need.name).sort()).toEqual(needs.map(({ name }) => name).sort());
          for (const target of nodes) {
            const into = moved(plan).filter((move) => move.targetNodeId === target.id);
            if (into.length === 0) continue;
            expect(target.announced).toBeUndefined();
            expect(target.isConnected && !target.isCordoned).toBe(true);
            const wanted = into.reduce((sum, move) => sum + move.need.memoryBytes, 0);
            expect(wanted + spareMemoryBytes).toBeLessThanOrEqual(target.memoryAvailableBytes + 1);
          }
          const most = (moves: readonly WaveMove[]) =>
            Math.max(
              0,
              ...moves.map(
                (at) => moves.filter((each) => each.startsAfterMs <= at.startsAfterMs && each.safeAfterMs > at.startsAfterMs).length,
              ),
            );
          expect(most(moved(plan))).toBeLessThanOrEqual(movesAtOnce);
          for (const { id } of nodes)
            expect(most(moved(plan).filter((move) => move.need.nodeId === id || move.targetNodeId === id))).toBeLessThanOrEqual(movesEach);
          for (const move of moved(plan))
            if (move.need.leftMs !== undefined) expect(move.safeAfterMs).toBeLessThanOrEqual(move.need.leftMs - lateMs);
          // A pool under a signal is a last resort, and never taken where nothing forces.
          for (const move of moved(plan)) {
            const target = nodes.find(({ id }) => id === move.targetNodeId);
            if (target === undefined || !context.poolsUnderSignal.has(poolOf(target))) continue;
            expect(move.need.leftMs).toBeDefined();
            expect(move.guards.map((each) => each.guard)).toContain("pool_signal");
          }
        },
      ),
      { numRuns: 150 },
    );
  });

  it("plans 200 workloads on 400 nodes without explaining every pair", () => {
    const nodes = Array.from({ length: 400 }, (_, i) =>
      node(`n${i}`, { announced: i < 100 ? "notice" : undefined, instanceType: "m5", zone: `z${i % 20}` }),
    );
    const needs = Array.from({ length: 200 }, (_, i) => need(`w${i}`, { nodeId: `n${i % 100}` }));
    const plan = planWave(needs, nodes, noContext, limits({ movesAtOnce: 200 }));
    expect(moved(plan)).toHaveLength(200);
    expect(Math.max(...plan.map((move) => move.candidates.length))).toBeLessThanOrEqual(16);
  });
});

describe("the search for targets in a large fleet", () => {
  const fleet = fc.array(
    fc.record({
      memoryAvailableBytes: fc.integer({ min: 0, max: 8 }).map((n) => n * gibibyte),
      cpuFraction: fc.constantFrom(0, 0.25, 0.9),
      workloadCount: fc.integer({ min: 0, max: 4 }),
      zone: fc.constantFrom("a", "b", "c", ""),
      instanceType: fc.constantFrom("m5.large", "c5.large"),
      isCordoned: fc.boolean(),
      riskPerHour: fc.constantFrom(undefined, 0.01, 0.3),
      usdPerHour: fc.constantFrom(undefined, 0.02, 0.2),
      announced: fc.constantFrom(undefined, undefined, undefined, "notice" as const),
    }),
    { minLength: 33, maxLength: 120 },
  );
  it("finds what looking at every node finds", () => {
    fc.assert(
      fc.property(fleet, fc.integer({ min: 0, max: 6 }), fc.array(fc.nat(119), { maxLength: 5 }), (kinds, gibibytes, taken) => {
        const nodes = kinds.map((kind, i) => node(`n${i}`, kind));
        const targets = createTargets(nodes);
        // Some were given something since.
        for (const i of taken) {
          const one = nodes[i];
          if (one === undefined) continue;
          Object.assign(one, { workloadCount: one.workloadCount + 1, memoryAvailableBytes: one.memoryAvailableBytes - gibibyte });
          targets.turns(one);
        }
        const wanted = need("w", { nodeId: "n0", memoryBytes: gibibytes * gibibyte });
        const context = { ...noContext, poolsUnderSignal: poolsUnderSignal(nodes), picksByPool: new Map([["m5.large/b", 2]]) };
        const all = scoreTargets(wanted, nodes, context).filter((each) => each.isEligible);
        const { rated } = targets.look(wanted, nodes[0], context);
        expect(rated.map(({ score }) => Math.round(score * 1000) / 1000)).toEqual(all.slice(0, 16).map(({ score }) => score));
      }),
      { numRuns: 300 },
    );
  });
});
