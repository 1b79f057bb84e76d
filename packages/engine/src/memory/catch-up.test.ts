import { describe, expect, it } from "vitest";
import type { Phase, Progress } from "../engine.ts";
import { catchUp } from "./catch-up.ts";
import type { Round } from "./rounds.ts";

/** Passes of these sizes, over a link of 120 MB/s; what happened, in order. */
async function run(sizes: readonly number[], { dueMs = Number.POSITIVE_INFINITY, stayedBytes = Number.POSITIVE_INFINITY } = {}) {
  const happened: string[] = [];
  const phases: Phase[] = [];
  const progress: Progress = { phase: (phase) => phases.push(phase), bytes: () => undefined };
  let number = 10;
  const round = async (): Promise<Round> => {
    const sentBytes = sizes[number - 10];
    if (sentBytes === undefined) throw new Error("it has ended");
    happened.push(`pass ${number}`);
    return { number: number++, startedAtMs: 0, durationMs: sentBytes / 1.2e5, writtenPages: 0, sentPages: 0, zeroPages: 0, sentBytes };
  };
  const patience: number[] = [];
  const arrived = async (pass: number, patienceMs: number) => {
    patience.push(patienceMs);
    happened.push(`wait ${pass}`);
  };
  const settle = async () => void happened.push("settle");
  await catchUp({ round }, arrived, settle, dueMs, stayedBytes, progress, AbortSignal.timeout(10_000));
  return { happened, patience, phases };
}

const mb = 1e6;

describe("the last passes before the cut", () => {
  it("begin each when the one before has arrived, and the cut comes when the last one has", async () => {
    const { happened, phases } = await run([20 * mb, 5 * mb, 8 * mb, 3 * mb, 0.4 * mb, 0.1 * mb]);
    const until = (pass: number) => [`pass ${pass}`, `wait ${pass}`];
    // As soon as a pass takes no longer than the collection of garbage, both hosts collect theirs; what is written meanwhile comes after it.
    expect(happened).toEqual(["wait 0", ...until(10), ...until(11), "settle", ...until(12), ...until(13), ...until(14)]);
    expect(phases).toMatchObject([{ name: "copy.catch-up", outcome: "ok", facts: { passes: "5", sentBytes: String(0.4 * mb) } }]);
  });

  it("go on for as long as they become smaller, however many that takes, and end where they stay the same", async () => {
    const shrinking = Array.from({ length: 12 }, (_, i) => 100 * mb * 0.75 ** i);
    const { happened } = await run([...shrinking, 4.1 * mb, 4.3 * mb, 0.9 * mb, 1]);
    expect(happened.indexOf("settle")).toBe(1 + 2 * 9); // 100 MB down to 10
    expect(happened.at(-1)).toBe("wait 23"); // down to 4.2, and two that are no less
  });

  it("are one before both hosts collect their garbage and one after it where the copy has found that they become no smaller, and they are long", async () => {
    const sizes = [150 * mb, 151 * mb, 149 * mb, 150 * mb];
    const { happened } = await run(sizes, { stayedBytes: 150 * mb });
    expect(happened).toEqual(["wait 0", "pass 10", "wait 10", "settle", "pass 11", "wait 11"]);
  });

  it("are one before both hosts collect their garbage and one after it where nobody can wait any more, and none where the tracker has ended", async () => {
    const late = await run([20 * mb, 5 * mb], { dueMs: performance.now() - 1 });
    expect(late.happened).toEqual(["wait 0", "pass 10", "wait 10", "settle", "pass 11", "wait 11"]);
    expect(late.patience).toEqual([0, 0, 0]);
    expect((await run([])).happened).toEqual(["wait 0", "settle"]);
  });
});
