import { expect, it } from "vitest";
import { detailsOf } from "./details.ts";

it("tells what an act has changed, and what was said", () => {
  const data = {
    name: "databases",
    argv: ["a", "b"],
    before: { "policy.rank": 0, "policy.note": "old" },
    after: { "policy.rank": 5, "policy.labels": '{"app":"db"}' },
  };
  expect(detailsOf(JSON.stringify(data))).toEqual({
    changes: [
      { path: "policy.rank", before: "0", after: "5" },
      { path: "policy.note", before: "old", after: undefined },
      { path: "policy.labels", before: undefined, after: '{"app":"db"}' },
    ],
    said: [
      ["name", "databases"],
      ["argv", "a b"],
    ],
  });
});

it.each([
  ["", []],
  ["{}", []],
  ['{"before":"noon"}', [["before", "noon"]]],
  ["not json", [["data", "not json"]]],
  ["[1]", [["data", "[1]"]]],
])("leaves nothing of %j out", (json, said) => expect(detailsOf(json)).toEqual({ changes: [], said }));
