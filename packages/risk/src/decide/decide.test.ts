import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { DEFAULT_MOVE_POLICY, type DecideInput, decideMove, type MoveCosts } from "./decide.ts";
import { type PoolTick, replay } from "./replay.ts";

const costs: MoveCosts = {
  downtimeUsdPerSecond: 0.01,
  lossDowntimeSeconds: 600,
  lossUsd: 5,
  noticeFailureProbability: 0.3,
  freezeSeconds: 2,
  transferGb: 8,
  transferUsdPerGb: 0.01,
  overlapSeconds: 60,
};
const input = (over: Partial<DecideInput> = {}): DecideInput => ({
  here: { probability: 0.05, usdPerHour: 1 },
  target: { probability: 0.05, usdPerHour: 1 },
  costs,
  hasNotice: false,
  sinceLastMoveSeconds: undefined,
  movesLastDay: 0,
  ...over,
});

describe("decideMove", () => {
  it("moves when staying is expected to lose more than moving costs, and says both in USD", () => {
    expect(decideMove(input())).toMatchObject({ action: "stay", rule: "does-not-pay" });
    const decision = decideMove(input({ here: { probability: 0.8, usdPerHour: 1 } }));
    expect(decision).toMatchObject({ action: "migrate", rule: "pays" });
    expect(decision.stayUsd).toBeGreaterThan(1.5 * decision.moveUsd);
    expect(decision.reason).toContain("USD");
  });

  it("weighs the risk at the target: no move from one fire into another", () => {
    expect(decideMove(input({ here: { probability: 0.8, usdPerHour: 1 }, target: { probability: 0.8, usdPerHour: 1 } })).action).toBe(
      "stay",
    );
  });

  it("does not thrash: two pools under the same wandering signal see few moves", () => {
    let here = 0;
    let moves = 0;
    let since: number | undefined;
    for (let minute = 0; minute < 600; minute++) {
      // Both risks wander around each other every few minutes.
      const risks = [0.3 + 0.15 * Math.sin(minute / 5), 0.3 - 0.15 * Math.sin(minute / 5)];
      const decision = decideMove(
        input({
          here: { probability: risks[here]!, usdPerHour: 1 },
          target: { probability: risks[1 - here]!, usdPerHour: 1 },
          sinceLastMoveSeconds: since,
          movesLastDay: moves,
        }),
      );
      since = since === undefined ? undefined : since + 60;
      if (decision.action === "migrate") {
        here = 1 - here;
        moves++;
        since = 0;
      }
    }
    expect(moves).toBeLessThanOrEqual(DEFAULT_MOVE_POLICY.mostMovesPerDay);
  });

  it("rests after a move and obeys the daily limit, but never against a notice", () => {
    const danger = { here: { probability: 0.9, usdPerHour: 1 } };
    expect(decideMove(input({ ...danger, sinceLastMoveSeconds: 60 })).rule).toBe("resting");
    expect(decideMove(input({ ...danger, movesLastDay: 8 })).rule).toBe("too-many-moves");
    expect(decideMove(input({ sinceLastMoveSeconds: 1, movesLastDay: 99, hasNotice: true }))).toMatchObject({
      action: "migrate",
      rule: "notice",
    });
    expect(decideMove(input({ hasNotice: true, target: undefined })).rule).toBe("no-target");
  });

  it("never turns from migrate to stay when the risk here grows", () => {
    fc.assert(
      fc.property(
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (a, b, there) => {
          const act = (p: number): boolean =>
            decideMove(input({ here: { probability: p, usdPerHour: 1 }, target: { probability: there, usdPerHour: 1 } })).action ===
            "migrate";
          if (act(Math.min(a, b))) expect(act(Math.max(a, b))).toBe(true);
        },
      ),
    );
  });
});

describe("replay", () => {
  const tick = (isAvailable: boolean, probability: number): PoolTick => ({ isAvailable, usdPerHour: 1, probability });
  it("counts moves, saved losses and the difference in USD against sitting still", () => {
    // Pool a is lost at tick 3 after its risk has risen at tick 2; pool b stays.
    const ticks = [
      [tick(true, 0.01), tick(true, 0.01)],
      [tick(true, 0.01), tick(true, 0.01)],
      [tick(true, 0.9), tick(true, 0.01)],
      [tick(false, 0), tick(true, 0.01)],
      [tick(false, 0), tick(true, 0.01)],
    ];
    const report = replay({ tickSeconds: 600, pools: ["a", "b"], ticks }, costs, DEFAULT_MOVE_POLICY);
    expect(report.policy).toMatchObject({ moves: 1, losses: 0 });
    expect(report.still).toMatchObject({ moves: 0, losses: 1 });
    expect(report.savedLosses).toBe(1);
    expect(report.summary).toMatch(/^this policy would have moved 1 times, saved 1 of 1 losses, saved \d+\.\d\d USD$/);
    // Seen at tick 2, not before: the risk of later ticks is not known earlier.
    const early = replay({ tickSeconds: 600, pools: ["a", "b"], ticks: ticks.slice(0, 2) }, costs, DEFAULT_MOVE_POLICY);
    expect(early.policy.moves).toBe(0);
  });

  it("counts the ticks in which there was nowhere to run", () => {
    const report = replay(
      { tickSeconds: 600, pools: ["a"], ticks: [[tick(true, 0)], [tick(false, 0)], [tick(true, 0)]] },
      costs,
      DEFAULT_MOVE_POLICY,
    );
    expect(report.still).toMatchObject({ losses: 1, homelessTicks: 1 });
  });
});
