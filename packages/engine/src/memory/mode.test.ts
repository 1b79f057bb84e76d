import { describe, expect, it } from "vitest";
import type { Finding } from "../engine.ts";
import { type Abilities, chooseMode, type ModeQuestion, stopAndCopyMaxBytes } from "./mode.ts";

const able: Abilities = { criuVersion: "4.2.1", lazyPages: true, noTracking: "", costs: { fixedMs: 100, perGibibyteMs: 30 } };
const large = stopAndCopyMaxBytes + 1;

function choose(question: Partial<ModeQuestion>) {
  const blockers: Finding[] = [];
  const answer = chooseMode(
    {
      requested: "auto",
      memoryBytes: large,
      here: able,
      canLazyThere: true,
      classes: { privateBytes: question.memoryBytes ?? large, sharedBytes: 0, carried: [] },
      untrackable: undefined,
      known: {},
      ...question,
    },
    blockers,
  );
  return { ...answer, blockers: blockers.map((one) => one.code) };
}

describe("chooseMode", () => {
  it("sends small memory inside the freeze, and copies large memory ahead where both nodes can", () => {
    expect(choose({ memoryBytes: stopAndCopyMaxBytes }).mode).toBe("stop-and-copy");
    expect(choose({}).mode).toBe("pre-copy");
  });

  it.each([
    [{ here: { ...able, noTracking: "no userfaultfd" } }, "post-copy", "no userfaultfd"],
    [{ untrackable: "process 7 reads with O_DIRECT" }, "post-copy", "O_DIRECT"],
    [{ here: { ...able, lazyPages: false } }, "stop-and-copy", "source"],
    [{ canLazyThere: false }, "stop-and-copy", "target"],
  ] as const)("takes the next best mode and says why: %#", (question, mode, says) => {
    expect(choose(question)).toMatchObject({ mode, reason: expect.stringContaining(says), blockers: [] });
  });

  it("refuses a mode that cannot be had instead of taking another", () => {
    expect(choose({ requested: "post-copy", canLazyThere: false }).blockers).toEqual(["MODE_UNAVAILABLE"]);
    expect(choose({ requested: "pre-copy", untrackable: "O_DIRECT" }).blockers).toEqual(["MODE_UNAVAILABLE"]);
    expect(choose({ requested: "pre-copy", here: { ...able, noTracking: "old kernel" } }).blockers).toEqual(["MODE_UNAVAILABLE"]);
    expect(choose({ requested: "pre-copy" })).toMatchObject({ mode: "pre-copy", blockers: [] });
  });

  it("names the next best mode when it refuses one", () => {
    const refused = (question: Partial<ModeQuestion>) => {
      const blockers: Finding[] = [];
      chooseMode({ ...base, ...question }, blockers);
      return blockers[0];
    };
    const base: ModeQuestion = {
      requested: "pre-copy",
      memoryBytes: 2 ** 33,
      classes: { privateBytes: 2 ** 33, sharedBytes: 0, carried: [] },
      here: able,
      canLazyThere: true,
      untrackable: undefined,
      known: {},
    };
    expect(refused({ untrackable: "process 7 has a seccomp filter" })).toMatchObject({
      code: "MODE_UNAVAILABLE",
      mend: expect.stringMatching(/--mode post-copy .* freeze of about/),
    });
    // 8 GiB over 100 MiB a second do not go in 20 s.
    expect(refused({ known: { linkBytesPerSecond: 100 << 20, timeLeftMs: 20_000 } })).toMatchObject({
      code: "DEADLINE_TOO_SHORT",
      message: expect.stringContaining("20.0 s are left"),
      mend: expect.stringContaining("--mode post-copy"),
    });
    expect(refused({ known: { linkBytesPerSecond: 100 << 20, timeLeftMs: 200_000 } })).toBeUndefined();
  });

  it("takes what the deadline allows, and no copying ahead where that spares nothing", () => {
    expect(choose({ memoryBytes: 2 ** 33, known: { linkBytesPerSecond: 100 << 20, timeLeftMs: 20_000 } })).toMatchObject({
      mode: "post-copy",
      reason: expect.stringContaining("too short"),
    });
    const classes = { privateBytes: 1 << 20, sharedBytes: 0, carried: [{ kind: "huge_pages" as const, bytes: 2 ** 30, freezeMs: 3413 }] };
    expect(choose({ memoryBytes: 2 ** 30, classes })).toMatchObject({
      mode: "stop-and-copy",
      reason: expect.stringContaining("1024 MiB of huge pages"),
    });
  });

  it("forecasts the shortest freeze for memory copied ahead, and says where its numbers are from", () => {
    const of = (requested: ModeQuestion["requested"]) => choose({ requested, memoryBytes: 2 ** 30 }).forecast;
    expect(of("pre-copy").freezeMs).toBeLessThan(of("post-copy").freezeMs);
    expect(of("post-copy").freezeMs).toBeLessThan(of("stop-and-copy").freezeMs);
    expect(of("auto").basis).toContain("assumed");
    expect(choose({ known: { linkBytesPerSecond: 2 ** 30 } }).forecast).toMatchObject({
      linkBytesPerSecond: 2 ** 30,
      basis: expect.stringContaining("last move"),
    });
  });
});
