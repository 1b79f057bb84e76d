import { describe, expect, it } from "vitest";
import type { Trace } from "../backtest/trace.ts";
import { fitHazard, HELD } from "./fit.ts";
import { measureQuality, reliability } from "./metrics.ts";
import { type RecordedPool, type Row, rowsOf } from "./rows.ts";
import { randomFrom, rowsBefore, segmentLabel, trainHazardModel } from "./train.ts";

const start = Date.parse("2023-01-01T00:00:00Z") / 1000;
const pool = (bits: readonly number[], over: Partial<Trace> = {}, pair = "a_x"): RecordedPool => ({
  group: "g",
  trace: { pair, zone: "a", gapSeconds: 600, available: Uint8Array.from(bits), ...over },
  startSeconds: start,
  hasKnownClock: true,
  onDemandUsdPerHour: 3,
});

/** A market whose losses follow its own rule, so that there is something to learn. */
function market(seed: number, ticks: number): number[] {
  const random = randomFrom(seed);
  let up = 1;
  return Array.from({ length: ticks }, () => {
    if (random() < (up ? 0.05 : 0.2)) up = 1 - up;
    return up;
  });
}
const settings = { version: "t", command: "test", seed: 7, before: "2023-02-01T00:00:00Z", embargoHours: 48, ridge: 1, mostRows: 2000 };
const rows = rowsOf([1, 2, 3, 4].map((seed) => pool(market(seed, 5000), {}, `a${seed}_x`)));

describe("rows", () => {
  it("see nothing after their moment: changing the future changes labels and nothing else", () => {
    const head = [1, 1, 0, 1, 1, 1, 0, 0, 1, 1, 1, 1];
    const [a, b] = [1, 0].map((tail) =>
      rowsOf([pool([...head, ...new Array<number>(50).fill(tail)])]).filter((row) => row.atSeconds < start + head.length * 600),
    );
    expect(a!.map((row) => row.readings)).toEqual(b!.map((row) => row.readings));
    expect(a!.map((row) => row.lossSeconds)).not.toEqual(b!.map((row) => row.lossSeconds));
  });

  it("label the middle of the tick in which capacity was found gone, and censor at the end and at gaps", () => {
    const [first] = rowsOf([pool([1, 1, 1, 0])]);
    expect(first).toMatchObject({ lossSeconds: 2.5 * 600 });
    expect([0, 1].map((k) => segmentLabel(first!, k))).toEqual([0, 1]);
    const gap = rowsOf([pool([1, 1, 0, 1], { probed: Uint8Array.from([1, 1, 0, 1]) })]);
    expect(gap[0]).toMatchObject({ lossSeconds: Number.POSITIVE_INFINITY, censoredSeconds: 1200 });
    expect(segmentLabel(gap[0]!, 1)).toBeUndefined();
  });

  it("leave the last two days before the date out", () => {
    const kept = rowsBefore(rows, settings.before, 48);
    expect(Math.max(...kept.map((row) => row.atSeconds))).toBeLessThan(Date.parse("2023-01-30T00:00:00Z") / 1000);
    expect(kept.length).toBeGreaterThan(1000);
  });
});

describe("training", () => {
  it("is the same to the last bit for the same seed, and another sample for another", () => {
    expect(JSON.stringify(trainHazardModel(rows, settings))).toBe(JSON.stringify(trainHazardModel(rows, settings)));
    expect(JSON.stringify(trainHazardModel(rows, { ...settings, seed: 8 }).intercept)).not.toBe(
      JSON.stringify(trainHazardModel(rows, settings).intercept),
    );
  });

  it("finds the rate of a market that has no memory", () => {
    const model = trainHazardModel(rows, { ...settings, mostRows: 1e6 });
    // 5 % of all up ticks are the last of their run, and half a tick after each is within ten minutes.
    expect(-Math.expm1(-Math.exp(model.intercept[0]!))).toBeCloseTo(0.05, 1);
    expect(model.manifest.groups[0]!.group).toBe("g");
  });
});

describe("fitHazard", () => {
  it("recovers a known hazard and holds what has the wrong sign", () => {
    const random = randomFrom(3);
    const x = Array.from({ length: 20_000 }, () => Float64Array.of(random() * 2 - 1, random() * 2 - 1));
    const y = Uint8Array.from(x, (row) => (random() < -Math.expm1(-Math.exp(-2 + 0.8 * row[0]! - 0.5 * row[1]!)) ? 1 : 0));
    const fit = fitHazard({ x, y, ridge: 0.1, signs: [1, 0] });
    expect(fit.intercept).toBeCloseTo(-2, 1);
    expect(fit.coefficient[0]).toBeCloseTo(0.8, 1);
    expect(fit.coefficient[1]).toBeCloseTo(-0.5, 1);
    const held = fitHazard({ x, y, ridge: 0.1, signs: [1, 1] });
    expect(held.held).toEqual([1]);
    expect(held.coefficient[1]).toBe(HELD);
  });
});

describe("metrics", () => {
  const scored = [
    { probability: 0.9, happened: true },
    { probability: 0.8, happened: false },
    { probability: 0.3, happened: true },
    { probability: 0.1, happened: false },
  ];
  it("are what they are by hand", () => {
    const q = measureQuality(scored, 0.25);
    expect(q.brier).toBeCloseTo((0.01 + 0.64 + 0.49 + 0.01) / 4, 12);
    expect(q.logLoss).toBeCloseTo(-(Math.log(0.9) + Math.log(0.2) + Math.log(0.3) + Math.log(0.9)) / 4, 12);
    expect(q.auroc).toBeCloseTo(0.75, 12);
    expect(q.precisionAtAlertRate).toBe(1);
    expect(
      measureQuality(
        scored.map((s) => ({ ...s, probability: 0.5 })),
        0.25,
      ),
    ).toMatchObject({ auroc: 0.5, precisionAtAlertRate: 0.5 });
  });

  it("bin by probability", () => {
    expect(reliability(scored, 2).map((bin) => [bin.rows, bin.observed])).toEqual([
      [2, 0.5],
      [2, 0.5],
    ]);
  });

  it("use rows whose labels are known", () => {
    const row = { lossSeconds: Number.POSITIVE_INFINITY, censoredSeconds: 700 } as Row;
    expect([0, 1].map((k) => segmentLabel(row, k))).toEqual([0, undefined]);
  });
});
