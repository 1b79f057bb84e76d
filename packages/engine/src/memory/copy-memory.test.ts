import { Fault } from "@aether/contract";
import { describe, expect, it } from "vitest";
import type { CopyReport, Progress } from "../engine.ts";
import { type CopyPlan, copyMemory } from "./copy-memory.ts";
import type { Round } from "./rounds.ts";
import type { Tracker } from "./tracker.ts";

const reports: CopyReport[] = [];
const progress: Progress = { phase: () => undefined, bytes: () => undefined, memory: (report) => reports.push(report) };
const plan: CopyPlan = {
  holds: { memoryBytes: 1e9, classes: { privateBytes: 1e9, sharedBytes: 0, carried: [] } },
  costs: { fixedMs: 100, perGibibyteMs: 30 },
  assumed: { linkBytesPerSecond: 4e8, dirtyBytesPerSecond: 0, basis: "assumed" },
  dueAtMs: undefined,
};
const nowMs = () => performance.timeOrigin + performance.now();

/** A tracker whose passes take no time and send these bytes; `stalls`: the first one only tells of 1 MB again and again, until it is ended. */
function trackerOf(sizes: number[], stalls = false): Tracker {
  let number = 0;
  return {
    pid: 0,
    held: { socket: "", file: "" },
    round: (signal, onBytes) =>
      new Promise<Round>((resolve, reject) => {
        signal.addEventListener("abort", () => reject(new Error("the tracker has ended")), { once: true });
        if (stalls) {
          const timer = setInterval(() => onBytes?.(1e6), 20);
          signal.addEventListener("abort", () => clearInterval(timer), { once: true });
          return;
        }
        const sentBytes = sizes[number] ?? 0;
        const pages = Math.ceil(sentBytes / 4096);
        const at = { startedAtMs: nowMs(), durationMs: sentBytes / 4e5 };
        resolve({ number: number++, ...at, writtenPages: pages, sentPages: pages, zeroPages: 0, sentBytes });
      }),
    look: async () => 0,
    freshen: () => Promise.reject(new Error("nobody asks")),
    frozen: () => Promise.reject(new Error("not frozen")),
    sealed: () => Promise.reject(new Error("not frozen")),
    refused: () => [],
    wireBytes: () => 0,
    linkBytesPerSecond: () => undefined,
    problem: () => undefined,
    close: () => undefined,
  };
}

const signal = () => AbortSignal.timeout(10_000);

describe("copyMemory", () => {
  it("makes passes until little is left, and reports each with a forecast", async () => {
    reports.length = 0;
    const report = await copyMemory(trackerOf([1e9, 1e8, 1e7, 1e6]), plan, progress, signal());
    expect(report).toMatchObject({ end: "converged" });
    expect(report.rounds).toHaveLength(4);
    expect(reports.map((each) => each.rounds.length)).toEqual([0, 1, 2, 3, 4]);
    expect(reports.every((each) => each.forecast.freezeMs > 100)).toBe(true);
  });

  it("gives up a first pass that will not end in time as soon as its rate shows it", async () => {
    const began = performance.now();
    const copying = copyMemory(trackerOf([], true), { ...plan, dueAtMs: nowMs() + 60_000 }, progress, signal());
    const problem = Fault.from(await copying.catch((caught: unknown) => caught));
    expect(problem).toMatchObject({ code: "DEADLINE_EXCEEDED", message: expect.stringContaining("60 s were left") });
    expect(performance.now() - began).toBeLessThan(10_000);
  });

  it("is ended by its caller's signal with that signal's reason", async () => {
    const over = new AbortController();
    const copying = copyMemory(trackerOf([], true), plan, progress, over.signal);
    over.abort(new Error("cancelled"));
    await expect(copying).rejects.toThrow();
  });
});
