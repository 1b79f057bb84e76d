import { expect, it } from "vitest";
import { createMeasured } from "./measured.ts";

it("gives what was measured once, oldest first, with its age, and forgets the oldest of too many", () => {
  let nowMs = 0;
  const measured = createMeasured(() => nowMs);
  measured.keep({ node: { spanMs: 1 } });
  nowMs = 1_000;
  measured.keep({ node: { spanMs: 2 } });
  nowMs = 1_250;
  expect(measured.take()).toMatchObject([
    { node: { spanMs: 1 }, ageMs: 1_250 },
    { node: { spanMs: 2 }, ageMs: 250 },
  ]);
  expect(measured.take()).toEqual([]);
  for (let i = 0; i < 130; i++) measured.keep({ node: { spanMs: i } });
  const kept = measured.take();
  expect([kept.length, kept[0]?.node?.spanMs, kept.at(-1)?.node?.spanMs]).toEqual([120, 10, 129]);
});
