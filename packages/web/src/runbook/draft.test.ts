import { fault } from "@aether/contract";
import { RunbookSchema } from "@aether/contract/gen/aether/v2/runbook_pb";
import { readRunbook } from "@aether/contract/runbook-file";
import { create } from "@bufbuild/protobuf";
import { expect, it } from "vitest";
import { ontoTheirs, refusalOf, refuseName, textOf } from "./draft.ts";

const made = (description: string, seconds: string, defaultValue: string) =>
  create(RunbookSchema, {
    name: "mine",
    version: 3,
    description,
    parameters: [{ name: "who", type: "text", defaultValue }],
    steps: [
      { name: "rest", act: "wait", inputs: { seconds } },
      { name: "tell", act: "notify", inputs: { message: "$who" } },
    ],
  });

it("the example is one that can be read, and one that is copied has another name", () => {
  expect(readRunbook(textOf(undefined)).steps.map(({ act }) => act)).toEqual(["check", "notify"]);
  expect(readRunbook(textOf(undefined, made("d", "5", "x")))).toMatchObject({ name: "my-mine", description: "d" });
});

it("what both have changed is brought together; of the same part, what was written here counts", () => {
  const began = made("began", "5", "x");
  const [mine, theirs] = [made("began", "7", "mine"), made("theirs", "9", "x")];
  expect(ontoTheirs(began, mine, theirs)).toEqual(made("theirs", "7", "mine"));
  expect(ontoTheirs(began, began, theirs)).toEqual(theirs);
});

it("what is refused has its line, also where the text cannot be read", () => {
  const text = textOf(made("d", "5", "x"));
  const why = fault("INVALID_ARGUMENT", "must be a whole number", { field: "runbook.steps[0].inputs.seconds" });
  const refused = refusalOf(text, why);
  expect([refused.message, text.slice(refused.from, refused.to), refused.line]).toEqual(["must be a whole number", '"5"', 11]);
  expect(refusalOf(text, fault("INVALID_ARGUMENT", "no").toConnectError()).line).toBeUndefined();
});

it("a change keeps the name, and a new one takes none that there is", () => {
  expect(() => refuseName("other", "mine", [])).toThrow("another name is another runbook");
  expect(() => refuseName("mine", undefined, ["mine"])).toThrow("already");
  expect(() => refuseName("mine", "mine", ["mine"])).not.toThrow();
});
