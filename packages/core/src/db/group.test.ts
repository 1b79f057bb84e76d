import { expect, it } from "vitest";
import { createGroup } from "./group.ts";

it("takes along who comes while it runs, answers each its own, and keeps one's failure from the others", async () => {
  const groups: number[][] = [];
  const double = createGroup(async (items: readonly number[]) => {
    groups.push([...items]);
    await new Promise((resolve) => setTimeout(resolve, 5));
    if (items.includes(13)) throw new Error("13");
    return items.map((item) => item * 2);
  }, 4);
  const results = await Promise.allSettled([1, 2, 3, 13, 5, 6].map(double));
  expect(results.map((each) => (each.status === "fulfilled" ? each.value : "failed"))).toEqual([2, 4, 6, "failed", 10, 12]);
  expect(groups[0]).toEqual([1]);
  expect(groups[1]).toEqual([2, 3, 13, 5]);
  expect(await double(7)).toBe(14);
});
