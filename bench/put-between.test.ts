import { expect, it } from "vitest";
import { putBetween } from "./put-between.ts";

it("writes between its own two comments and nowhere else", () => {
  const [begin, end] = ["<!-- begin of what x writes -->", "<!-- end of what x writes -->"];
  const other = "<!-- begin of what y writes -->";
  expect(putBetween(`a\n${other}\n${begin}\nold\n${end}\nb`, "x", "new")).toBe(`a\n${other}\n${begin}\nnew\n${end}\nb`);
  expect(() => putBetween(`${end}${begin}`, "x", "new")).toThrow('no "<!-- begin of what x writes -->"');
});
