import { describe, expect, it } from "vitest";
import { splitWaits, type Wait } from "./waits.ts";

/** Asked for at 1000, cut at 2000, running again at 2080. */
const move = { askedMs: 1000, cutMs: 2000, resumedMs: 2080 };
const quick: readonly Wait[] = [900, 1100, 1900, 2082, 3000, 7000].map((atMs) => ({ atMs, ms: 0.3 }));
const gap: Wait = { atMs: 1999.5, ms: 82 };

describe("waits around a move", () => {
  it("gives the wait over the freeze to the move, and nothing of it to the time after", () => {
    expect(splitWaits([...quick, gap], move)).toEqual({
      gapMs: 82,
      beforeMs: 0.3,
      stallsBefore: 0,
      worstAfterMs: 0.3,
      stallsAfter: 0,
      isAnsweredAfter: true,
    });
  });

  it("a longer wait while memory is copied is neither the gap nor after", () => {
    expect(splitWaits([...quick, { atMs: 1500, ms: 240 }, gap], move)).toMatchObject({
      gapMs: 82,
      beforeMs: 240,
      stallsBefore: 1,
      stallsAfter: 0,
    });
  });

  it("a wait that begins in the copy and lasts until the resume is the gap", () => {
    expect(splitWaits([...quick, { atMs: 1800, ms: 290 }], move)).toMatchObject({ gapMs: 290, beforeMs: 0.3, stallsBefore: 0 });
  });

  it("counts stalls of the five seconds after the resume, and no later ones", () => {
    const stalls = [2081, 7079, 7081].map((atMs) => ({ atMs, ms: 60 }));
    expect(splitWaits([...quick, gap, ...stalls], move)).toMatchObject({ gapMs: 82, worstAfterMs: 60, stallsAfter: 2 });
  });

  it("leaves out what was waited for before anybody asked for a move", () => {
    expect(splitWaits([{ atMs: 100, ms: 500 }, ...quick, gap], move)).toMatchObject({ beforeMs: 0.3 });
  });

  it("has no gap of a client whose connection was reset in the freeze", () => {
    expect(splitWaits(quick.slice(0, 3), move)).toMatchObject({ gapMs: Number.NaN, isAnsweredAfter: false });
  });
});
