import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { judge, type Kept } from "./retention.ts";

const dayMs = 86_400_000;
const nowMs = 1000 * dayMs;
const policy = { keepDays: 90, keepEach: 20, keepBytes: 1000 };
const snapshot = (id: string, ageDays: number, over: Partial<Kept> = {}): Kept => ({
  id,
  workload: "db",
  state: "ready",
  createdAtMs: nowMs - ageDays * dayMs,
  bytes: 10,
  isPinned: false,
  isInUse: false,
  ...over,
});
const kept = (snapshots: Kept[], over = {}) =>
  judge(snapshots, { ...policy, ...over }, nowMs)
    .filter((each) => each.isKept)
    .map((each) => each.id);

describe("retention", () => {
  it("goes by age, number, bytes and tier", () => {
    expect(kept([snapshot("new", 0.1), snapshot("old", 91)])).toEqual(["new"]);
    expect(kept([snapshot("a", 0.1), snapshot("b", 0.2), snapshot("c", 0.3)], { keepEach: 2 })).toEqual(["a", "b"]);
    expect(kept([snapshot("a", 0.1), snapshot("b", 0.2), snapshot("c", 0.3)], { keepBytes: 25 })).toEqual(["a", "b"]);
    expect(kept([snapshot("now", 0), snapshot("evening", 3.1), snapshot("morning", 3.6)])).toEqual(["now", "evening"]);
  });

  it("never takes the last good one, nor one that is pinned, in use or being made", () => {
    const state = fc.constantFrom("ready", "failed", "corrupt", "creating", "deleting");
    const any = fc.record({
      ageDays: fc.double({ min: 0, max: 400, noNaN: true }),
      workload: fc.constantFrom("a", "b"),
      state,
      isPinned: fc.boolean(),
      isInUse: fc.boolean(),
      bytes: fc.nat(500),
    });
    const limits = fc.record({
      keepDays: fc.integer({ min: 1, max: 100 }),
      keepEach: fc.integer({ min: 1, max: 5 }),
      keepBytes: fc.nat(1000),
    });
    fc.assert(
      fc.property(fc.array(any, { maxLength: 12 }), limits, (list, over) => {
        const all = list.map(({ ageDays, ...rest }, i) => snapshot(`s${i}`, ageDays, rest));
        const left = new Set(kept(all, over));
        for (const each of all) if (each.isPinned || each.isInUse || each.state === "creating") expect(left).toContain(each.id);
        for (const workload of ["a", "b"]) {
          const good = all.filter((each) => each.workload === workload && each.state === "ready");
          const newestMs = Math.max(...good.map((each) => each.createdAtMs));
          if (good.length > 0) expect(good.some((each) => each.createdAtMs === newestMs && left.has(each.id))).toBe(true);
        }
      }),
      { numRuns: 200 },
    );
  });

  it("keeps the last good one even when newer ones failed", () => {
    expect(kept([snapshot("good", 300), snapshot("bad", 1, { state: "corrupt" })])).toEqual(["good", "bad"]);
  });
});
