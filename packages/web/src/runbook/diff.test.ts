import { expect, it } from "vitest";
import { diffLines, withContext } from "./diff.ts";

const told = (before: string, after: string) =>
  diffLines(before, after).map(({ is, text }) => `${is === "same" ? " " : is === "gone" ? "-" : "+"}${text}`);

it("a line that was changed is one that went and one that came, in its place", () => {
  expect(told("a\nb\nc", "a\nB\nc")).toEqual([" a", "-b", "+B", " c"]);
  expect(told("", "")).toEqual([" "]);
  expect(told("a\nb", "b")).toEqual(["-a", " b"]);
});

it("either text comes back out of the difference", () => {
  const [before, after] = ["one\ntwo\nthree\nfour", "zero\ntwo\nthree\nthree\nfive"];
  const lines = diffLines(before, after);
  const side = (left: string) =>
    lines
      .filter(({ is }) => is !== left)
      .map(({ text }) => text)
      .join("\n");
  expect([side("new"), side("gone")]).toEqual([before, after]);
});

it("what is the same is left out, but for what is near", () => {
  const numbers = Array.from({ length: 20 }, (_, i) => String(i));
  const shown = withContext(diffLines(numbers.join("\n"), numbers.with(10, "ten").join("\n")), 1);
  expect(shown.map((each) => (typeof each === "number" ? each : each.text))).toEqual([9, "9", "10", "ten", "11", 8]);
});
