import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Next, next } from "./next.ts";
import { hasRunEnded, type OnFailureText, type RunRecord, type StepRecord } from "./state.ts";

type Mutable<Value> = { -readonly [Key in keyof Value]: Value[Key] };

const step = (over: Partial<StepRecord> = {}): StepRecord => ({
  state: "pending",
  onFailure: "stop",
  isUndoable: false,
  isUndoSettled: false,
  ...over,
});
const run = (steps: readonly StepRecord[], over: Partial<RunRecord> = {}): RunRecord => ({
  state: "running",
  steps,
  isCancelRequested: false,
  isUndoRequested: false,
  ...over,
});

describe("what a run does next", () => {
  it.each<[string, RunRecord, Next]>([
    ["begins the first step", run([step(), step()]), { kind: "begin", position: 0 }],
    ["looks at the one under way", run([step({ state: "done" }), step({ state: "waiting" })]), { kind: "look", position: 1 }],
    [
      "goes on after a failure that says so",
      run([step({ state: "failed", onFailure: "continue" }), step()]),
      { kind: "begin", position: 1 },
    ],
    ["fails with a step", run([step({ state: "failed" }), step()]), { kind: "end", state: "failed" }],
    ["turns where the step says so", run([step({ state: "done" }), step({ state: "failed", onFailure: "undo" })]), { kind: "turn" }],
    ["is done after the last", run([step({ state: "done" })]), { kind: "end", state: "done" }],
    [
      "cuts what is under way when it is cancelled",
      run([step({ state: "running" }), step()], { isCancelRequested: true }),
      { kind: "cut", position: 0 },
    ],
    [
      "begins nothing when it is cancelled",
      run([step({ state: "done" }), step()], { isCancelRequested: true }),
      { kind: "end", state: "cancelled" },
    ],
    [
      "is done all the same when nothing was left to cancel",
      run([step({ state: "done" })], { isCancelRequested: true }),
      { kind: "end", state: "done" },
    ],
    [
      "takes back the last one first",
      run(
        [
          step({ state: "done", isUndoable: true }),
          step({ state: "failed", onFailure: "undo", isUndoable: true }),
          step({ isUndoable: true }),
        ],
        {
          state: "undoing",
        },
      ),
      { kind: "undo", position: 1 },
    ],
    ["does nothing when it has ended", run([step()], { state: "cancelled" }), { kind: "ended" }],
  ])("%s", (_, record, expected) => {
    expect(next(record)).toEqual(expected);
  });

  it("comes to an end whatever happens, begins each step once and in order, and takes back only what was begun, backwards", () => {
    const kinds = fc.record({ onFailure: fc.constantFrom<OnFailureText>("stop", "continue", "undo"), isUndoable: fc.boolean() });
    fc.assert(
      fc.property(
        fc.array(kinds, { minLength: 1, maxLength: 7 }),
        fc.array(fc.constantFrom("done", "failed", "going", "cancel", "cancel with undo"), { minLength: 60, maxLength: 60 }),
        (drafts, happenings) => {
          const steps = drafts.map((draft) => step(draft) as Mutable<StepRecord>);
          const record = run(steps) as Mutable<RunRecord>;
          const begun: number[] = [];
          const undone: number[] = [];
          let cancelledAt: number | undefined;
          for (let turn = 0; !hasRunEnded(record.state); turn++) {
            expect(turn).toBeLessThan(200);
            const happening = happenings[turn] ?? "done";
            if (happening.startsWith("cancel") && record.state === "running") {
              record.isCancelRequested = true;
              record.isUndoRequested ||= happening === "cancel with undo";
              cancelledAt ??= begun.length;
            }
            const what = next(record);
            if (what.kind === "ended") throw new Error("it ends without saying how");
            if (what.kind === "end") {
              for (const each of steps) if (each.state === "pending") each.state = "skipped";
              record.state = what.state;
              continue;
            }
            if (what.kind === "turn") {
              record.state = "undoing";
              continue;
            }
            const at = steps[what.position] as Mutable<StepRecord>;
            if (what.kind === "begin") {
              begun.push(what.position);
              at.state = "running";
            } else if (what.kind === "look") {
              if (happening === "done" || happening === "failed") at.state = happening;
            } else if (what.kind === "cut") at.state = "cancelled";
            else {
              undone.push(what.position);
              at.isUndoSettled = true;
              if (at.state === "done") at.state = "undone";
            }
          }
          expect(begun).toEqual(begun.map((_, i) => i));
          if (cancelledAt !== undefined) expect(begun.length).toBe(cancelledAt);
          const hasBroken = steps.some(({ state, onFailure }) => state === "failed" && onFailure !== "continue");
          expect(record.state === "failed").toBe(hasBroken);
          expect(undone).toEqual([...new Set(undone)].sort((a, b) => b - a));
          expect(undone.every((position) => begun.includes(position) && drafts[position]?.isUndoable)).toBe(true);
          expect(steps.some(({ state }) => state === "running" || state === "waiting")).toBe(false);
          if (record.state === "done") expect(begun).toHaveLength(steps.length);
          if (record.state === "cancelled") expect(record.isCancelRequested).toBe(true);
        },
      ),
      { numRuns: 500 },
    );
  });
});
