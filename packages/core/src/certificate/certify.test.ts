import { TargetScoreSchema } from "@aether/contract/gen/aether/v2/signal_pb";
import { create } from "@bufbuild/protobuf";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type CertificateFacts, certify } from "./certify.ts";
import { paceOf } from "./estimate.ts";
import { bandwidthOf, type Measured, quantile, spreadOf, uncalibrated } from "./measure.ts";

const mebibyte = 1 << 20;
const measured = (value: number) => ({ value, basis: "measured" as const, detail: "" });
const calm = { count: 5, low: 0.9, median: 1, high: 1.2 };

/** Everything measured, small, with a target: green. */
const facts = (over: Partial<CertificateFacts> = {}): CertificateFacts => ({
  workload: "db",
  nodeId: "n1",
  state: "running",
  stateReason: "",
  isSourceConnected: true,
  sourceProblem: undefined,
  isPaused: false,
  memory: measured(50 * mebibyte),
  files: measured(20 * mebibyte),
  dirtyRate: measured(mebibyte),
  bandwidth: { bytesPerSecond: 100 * mebibyte, basis: "measured", detail: "" },
  canary: { dumpMs: 20, restoreMs: 40 },
  processor: { ...measured(4), arch: "x64" },
  mode: "stop_and_copy",
  modeReason: "",
  freezeBytes: undefined,
  preflight: { blockers: [], warnings: [], ageMs: 5_000 },
  targets: [create(TargetScoreSchema, { nodeId: "n2", isEligible: true, score: 0.8, reasons: ["room"] })],
  room: { freeBytes: 900 * mebibyte, ofBytes: 2000 * mebibyte },
  turn: { position: 1, count: 1, before: [], waitMs: 0 },
  isSamePool: false,
  objective: { freezeMs: 0, timeToSafeMs: 0 },
  windowMs: 115_000,
  pace: paceOf([]),
  spread: { freeze: calm, timeToSafe: calm },
  ...over,
});

const move = (over: Partial<Measured> = {}): Measured => ({
  migrationId: "mig-1",
  drillId: undefined,
  atMs: 0,
  workload: "db",
  sourceNodeId: "n1",
  targetNodeId: "n2",
  mode: "stop_and_copy",
  memoryBytes: 50 * mebibyte,
  fileBytes: 0,
  freezeBytes: 50 * mebibyte,
  preflightMs: 100,
  prepareMs: 200,
  copyMs: 100,
  freezeMs: 800,
  timeToSafeMs: 1500,
  bytesPerSecond: 100 * mebibyte,
  predicted: { freezeMs: 700, timeToSafeMs: 1400 },
  raw: { freezeMs: 400, timeToSafeMs: 1000 },
  ...over,
});

const codes = (made: ReturnType<typeof certify>) => [...made.blockers, ...made.warnings].map(({ code }) => code);

describe("certify", () => {
  it("is green when everything is measured and fits", () => {
    const made = certify(facts());
    expect(made).toMatchObject({ verdict: "green", targetNodeId: "n2", blockers: [], warnings: [] });
    expect(made.freeze.expected).toBeCloseTo(150 + 60 + 500);
    expect(made.summary).toContain("safe on n2");
  });

  it.each<[string, Partial<CertificateFacts>]>([
    ["NO_TARGET", { targets: [create(TargetScoreSchema, { nodeId: "n2", reasons: ["cordoned"] })] }],
    ["NODE_NOT_CONNECTED", { isSourceConnected: false }],
    ["SOURCE_CANNOT_CHECKPOINT", { sourceProblem: "the canary failed" }],
    ["MOVES_PAUSED", { isPaused: true }],
    ["NEEDS_OPERATOR", { state: "needs_operator" }],
    ["WINDOW_TOO_SHORT", { files: measured(20_000 * mebibyte) }],
    ["FREEZE_OVER_OBJECTIVE", { objective: { freezeMs: 300, timeToSafeMs: 0 } }],
    ["TIME_TO_SAFE_OVER_OBJECTIVE", { objective: { freezeMs: 0, timeToSafeMs: 500 } }],
  ])("is red with %s, and every blocker says how to mend it", (code, over) => {
    const made = certify(facts(over));
    expect(made.verdict).toBe("red");
    expect(codes(made)).toContain(code);
    for (const blocker of made.blockers) expect(blocker.mend).not.toBe("");
  });

  it.each<[string, Partial<CertificateFacts>]>([
    ["PREFLIGHT_MISSING", { preflight: undefined }],
    ["PREFLIGHT_OLD", { preflight: { blockers: [], warnings: [], ageMs: 3_600_000 } }],
    ["MEMORY_UNKNOWN", { memory: { value: 64 * mebibyte, basis: "assumed", detail: "its limit" } }],
    ["NOT_CALIBRATED", { spread: { freeze: uncalibrated, timeToSafe: uncalibrated } }],
    ["BANDWIDTH_UNKNOWN", { memory: measured(200 * mebibyte), bandwidth: bandwidthOf([], "n1", "n2", { nowMs: 0 }) }],
    ["TARGET_NOT_REACHED", { bandwidth: bandwidthOf([], "n1", "n2", { nowMs: 60_000, probed: { bytesPerSecond: undefined, atMs: 0 } }) }],
    [
      "LAST_RESORT",
      {
        targets: [
          create(TargetScoreSchema, { nodeId: "n2", isEligible: true, score: -0.2, reasons: ["its pool is under a signal (-1.000)"] }),
        ],
      },
    ],
    ["DIRTY_RATE_UNKNOWN", { mode: "pre_copy", memory: measured(200 * mebibyte), dirtyRate: { value: 1, basis: "missing", detail: "" } }],
    ["WRITES_TOO_FAST", { mode: "pre_copy", dirtyRate: measured(95 * mebibyte) }],
    ["SAME_POOL", { isSamePool: true }],
  ])("is amber with %s", (code, over) => {
    const made = certify(facts(over));
    expect(made.verdict).toBe("amber");
    expect(codes(made)).toContain(code);
  });

  it("counts the turn among what leaves the node with it, in the verdict and in what it was made of", () => {
    const before = ["cache", "queue"];
    const made = certify(facts({ turn: { position: 3, count: 3, before, waitMs: 114_000 } }));
    expect(made.blockers).toMatchObject([{ code: "WINDOW_TOO_SHORT", message: expect.stringContaining("114 s of it after cache, queue") }]);
    expect(made.ownTimeToSafeMs).toBeCloseTo(certify(facts()).timeToSafe.expected);
    const said = new Map(made.inputs.map(({ name, value, detail }) => [name, `${value}; ${detail}`]));
    expect(said.get("turn")).toBe("3 of 3; of all that leave with it; it waits for 114 s");
    expect(said.get("room")).toBe("900 MiB free; of 2000 MiB; 50 MiB are counted for it, beside cache, queue");
    expect(said.get("processor")).toBe("x64, 4 features; ; n2 has them");
    expect(said.get("canary")).toBe("60 ms; a small process: 20 ms to dump on n1, 40 ms to restore on n2");
    const names = ["memory", "files", "dirty_rate", "bandwidth", "mode", "preflight", "target", "room", "processor", "canary", "turn"];
    expect([...said.keys()]).toEqual(names);
  });

  it("never gets better by knowing less", () => {
    const rank = { green: 0, amber: 1, red: 2 } as const;
    const which = fc.subarray(["memory", "files", "dirtyRate"] as const);
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 4000 }), fc.integer({ min: 0, max: 9000 }), which, (memory, files, hidden) => {
        const known = facts({ memory: measured(memory * mebibyte), files: measured(files * mebibyte) });
        const less = { ...known, ...Object.fromEntries(hidden.map((name) => [name, { ...known[name], basis: "assumed" }])) };
        const before = certify(known);
        const after = certify(less);
        expect(rank[after.verdict]).toBeGreaterThanOrEqual(rank[before.verdict]);
        expect(after.freeze.high).toBeGreaterThanOrEqual(before.freeze.high);
        expect(after.freeze.low).toBeLessThanOrEqual(before.freeze.low);
      }),
      { numRuns: 50 },
    );
  });
});

describe("calibration", () => {
  it("takes the systematic error out and shows what is left of it", () => {
    const moves = [1.8, 2, 2.2, 2.4].map((ratio, i) => move({ migrationId: `m${i}`, freezeMs: 400 * ratio }));
    const spread = spreadOf(moves, "freezeMs");
    expect(spread).toMatchObject({ count: 4, median: 2.1 });
    expect(spread.low).toBeLessThan(1.8);
    expect(spread.high).toBeGreaterThan(2.4);
    expect(spreadOf([], "freezeMs")).toEqual(uncalibrated);
    expect(spreadOf([move({ raw: undefined })], "freezeMs")).toEqual(uncalibrated);
  });

  it("learns what does not grow with the workload, and the pair's bandwidth", () => {
    expect(paceOf([move()])).toEqual({ preflightMs: 100, prepareMs: 200, copyMs: 100, freezeMs: 300 });
    const hour = 3_600_000;
    const of = (source: string, target: string, nowMs: number, probed?: number | "failed", probedAtMs = nowMs) =>
      bandwidthOf([move()], source, target, {
        nowMs,
        probed: probed === undefined ? undefined : { bytesPerSecond: probed === "failed" ? undefined : probed, atMs: probedAtMs },
      });
    expect(of("n1", "n2", hour, 7)).toMatchObject({
      bytesPerSecond: 100 * mebibyte,
      basis: "measured",
      detail: "a move between these nodes, the last 60 min ago",
    });
    expect(of("n2", "n1", hour).detail).toContain("the other way");
    expect(of("n1", "n3", hour).basis).toBe("assumed");
    // The way may be another one by the next day: a probe then says more; and where one did not get through after the last move, that is said.
    expect(of("n1", "n2", 25 * hour, 7)).toMatchObject({ bytesPerSecond: 7, detail: "a short transfer between these nodes, 0 s ago" });
    expect(of("n1", "n2", hour, "failed")).toMatchObject({ bytesPerSecond: 100 * mebibyte, failedAgoMs: 0 });
    expect(of("n1", "n2", hour, "failed", -1).failedAgoMs).toBeUndefined();
  });

  it("interpolates between neighbours", () => {
    expect(quantile([4, 1, 3, 2], 0.5)).toBe(2.5);
    expect(quantile([1], 0.9)).toBe(1);
    expect(quantile([], 0.5)).toBeNaN();
  });
});
