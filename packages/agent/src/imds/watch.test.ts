import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { InstanceAction, RebalanceRecommendation } from "./answers.ts";
import { type Announced, type HeardSignal, type Reading, watch } from "./watch.ts";

const nothing = { kind: "nothing" } as const;
const trouble = { kind: "trouble" } as const;
const announced = <T>(value: T): Reading<T> => ({ kind: "announced", value });
const notice = announced<InstanceAction>({ action: "terminate", effectiveAtMs: 5_000 });

describe("watch", () => {
  it("tells a notice once", () => {
    const first = watch({}, notice, nothing);
    expect(first.signals).toEqual([{ kind: "NOTICE", action: "terminate", effectiveAtMs: 5_000 }]);
    expect(watch(first.announced, notice, nothing).signals).toEqual([]);
  });

  it("tells a notice again when its time or action changes", () => {
    const before = watch({}, notice, nothing).announced;
    expect(watch(before, announced({ action: "stop", effectiveAtMs: 5_000 }), nothing).signals[0]?.kind).toBe("NOTICE");
    expect(watch(before, announced({ action: "terminate", effectiveAtMs: 9_000 }), nothing).signals[0]?.effectiveAtMs).toBe(9_000);
  });

  it("withdraws what is no longer announced, each by itself", () => {
    const both = watch({}, notice, announced({ noticedAtMs: 1_000 })).announced;
    expect(watch(both, nothing, announced({ noticedAtMs: 1_000 })).signals).toEqual([
      { kind: "WITHDRAWN", action: "terminate", effectiveAtMs: 5_000 },
    ]);
    expect(watch(both, notice, nothing).signals).toEqual([{ kind: "WITHDRAWN", action: "rebalance", effectiveAtMs: 1_000 }]);
  });

  it("withdraws nothing because of trouble", () => {
    const before = watch({}, notice, announced({ noticedAtMs: 1_000 })).announced;
    expect(watch(before, trouble, trouble)).toEqual({ announced: before, signals: [] });
  });

  it("for any history: notices and withdrawals alternate by truth, and trouble is invisible", () => {
    const reading = fc.oneof(
      fc.constant<Reading<InstanceAction>>(nothing),
      fc.constant<Reading<InstanceAction>>(trouble),
      fc.integer({ min: 1, max: 3 }).map((effectiveAtMs) => announced<InstanceAction>({ action: "terminate", effectiveAtMs })),
    );
    const rebalance = fc.oneof(
      fc.constant<Reading<RebalanceRecommendation>>(nothing),
      fc.constant<Reading<RebalanceRecommendation>>(trouble),
      fc.constant<Reading<RebalanceRecommendation>>(announced({ noticedAtMs: 7 })),
    );
    const history = (polls: [Reading<InstanceAction>, Reading<RebalanceRecommendation>][]) => {
      let state: Announced = {};
      const heard: HeardSignal[] = [];
      for (const [a, b] of polls) {
        const step = watch(state, a, b);
        state = step.announced;
        heard.push(...step.signals);
      }
      return { state, heard };
    };
    fc.assert(
      fc.property(fc.array(fc.tuple(reading, rebalance), { maxLength: 30 }), (polls) => {
        const { state, heard } = history(polls);
        // What the listener believes after all signals is what is in force.
        let believed: number | undefined;
        for (const signal of heard) {
          if (signal.kind === "NOTICE") {
            expect(signal.effectiveAtMs).not.toBe(believed);
            believed = signal.effectiveAtMs;
          } else if (signal.kind === "WITHDRAWN" && signal.action !== "rebalance") {
            expect(signal.effectiveAtMs).toBe(believed);
            believed = undefined;
          }
        }
        expect(believed).toBe(state.notice?.effectiveAtMs);
        const calm = polls.filter(([a, b]) => a.kind !== "trouble" && b.kind !== "trouble");
        if (calm.length === polls.length) expect(history(calm).heard).toEqual(heard);
        expect(history(polls.flatMap((poll) => [poll, [trouble, trouble] as typeof poll])).heard).toEqual(heard);
      }),
    );
  });
});
