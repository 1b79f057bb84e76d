import { describe, expect, it } from "vitest";
import { capacityShare, type NodeSpan } from "./capacity.ts";

const hour = 3_600_000;
const now = 1_000 * hour;
const span = (fromHoursAgo: number, toHoursAgo: number, isPlanned = false): NodeSpan => ({
  fromMs: now - fromHoursAgo * hour,
  toMs: now - toHoursAgo * hour,
  isPlanned,
});

describe("capacityShare", () => {
  it.each<[string, NodeSpan[], number | undefined]>([
    ["nothing is known", [], undefined],
    ["less than six hours are known", [span(5.9, 0)], undefined],
    ["one runs all day", [span(40, 0)], 1],
    ["two take turns", [span(40, 12), span(12, 0)], 1],
    ["a gap counts", [span(40, 18), span(12, 0)], 0.75],
    ["overlaps count once", [span(40, 6), span(30, 10), span(20, 6)], 0.75],
    ["a gap from before the day", [span(40, 30), span(12, 0)], 0.5],
    ["the time since the last is lost", [span(12, 3)], 0.75],
    ["the time after a planned end is not known", [span(40, 18, true), span(12, 0)], 1],
    ["nor is all of the day", [span(40, 23, true)], undefined],
  ])("%s", (_, spans, share) => {
    const found = capacityShare(spans, now);
    if (share === undefined) expect(found).toBeUndefined();
    else expect(found).toBeCloseTo(share, 12);
  });
});
