import { expect, it } from "vitest";
import { expectWhole, overBudget } from "./budget.ts";

const mebibyte = 2 ** 20;

it("a whole dump is expected by its memory until one was made, and by that one then", () => {
  expect(expectWhole(400 * mebibyte, 100, undefined)).toBe(1100);
  expect(expectWhole(400 * mebibyte, 100, { freezeMs: 500, memoryBytes: 200 * mebibyte })).toBe(1000);
  expect(expectWhole(100 * mebibyte, 100, { freezeMs: 500, memoryBytes: 200 * mebibyte })).toBe(500); // less memory is not assumed to be quicker
});

it("a refusal says what it would take, what is allowed, and why", () =>
  expect(overBudget("db", 1234.5, 500, "all of its 400 MiB travel inside it")).toMatchObject({
    code: "SNAPSHOT_OVER_BUDGET",
    message: expect.stringMatching(/about 1235 ms, and it allows 500 ms: all of its/),
  }));
