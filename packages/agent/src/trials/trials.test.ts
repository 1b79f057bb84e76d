import type { CanaryResult } from "@aether/engine";
import { createLogger, sleep } from "@aether/kit";
import { describe, expect, it } from "vitest";
import { startTrials } from "./trials.ts";

const log = createLogger({ name: "trials", level: "silent" });
const well: CanaryResult = {
  isAvailable: true,
  criuVersion: "4.2.1",
  dumpMs: 1,
  restoreMs: 1,
  lazyPages: true,
  noTracking: "",
  reason: "",
};
const ill: CanaryResult = { ...well, isAvailable: false, reason: "no" };
const pauses = { firstMs: 1, maxMs: 2, wellMs: 1, movingMs: 1 };

/** Plays these outcomes, then none any more. */
async function play(outcomes: readonly (CanaryResult | Error)[], isMoving = async () => false): Promise<boolean[]> {
  const told: boolean[] = [];
  const left = [...outcomes];
  const over = Promise.withResolvers<void>();
  const trials = startTrials({
    async canary(signal) {
      const next = left.shift();
      if (next instanceof Error) throw next;
      if (next !== undefined) return { ...next, dumpMs: left.length };
      over.resolve();
      await sleep(60_000, signal);
      return well;
    },
    isMoving,
    onResult: (result) => told.push(result.isAvailable),
    log,
    pauses,
  });
  await over.promise;
  await trials.stop();
  return told;
}

describe("trial checkpoints", () => {
  it("go on after a failure: a node gets well by itself", async () => {
    expect(await play([ill, new Error("criu is gone"), well])).toEqual([false, false, true]);
  });

  it("say nothing that is no news, and do not believe one bad trial of a node that was well", async () => {
    expect(await play([well, well, ill, well, ill, ill, well])).toEqual([true, false, true]);
  });

  it("wait while a workload moves, but for the first", async () => {
    let asked = 0;
    expect(await play([well, ill, ill], async () => ++asked < 5)).toEqual([true, false]);
    expect(asked).toBeGreaterThanOrEqual(5);
  });
});
