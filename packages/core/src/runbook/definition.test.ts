import { Role } from "@aether/contract";
import { type Runbook, RunbookSchema, type RunbookStepSchema, type StepFailure } from "@aether/contract/gen/aether/v2/runbook_pb";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { acts } from "./acts/index.ts";
import { builtIn } from "./built-in.ts";
import { fillIn, parseRunbook, roleFor } from "./definition.ts";

type Step = MessageInitShape<typeof RunbookStepSchema>;
const node = { name: "node", type: "node", description: "which one" };
const book = (steps: readonly Step[], over: MessageInitShape<typeof RunbookSchema> = {}): Runbook =>
  create(RunbookSchema, { name: "mine", steps: [...steps], ...over });
const one = (act: string, inputs: Record<string, string> = {}, over: Step = {}): Step => ({ name: "one", act, inputs, ...over });
const fieldOf = (work: () => unknown): string => {
  try {
    work();
  } catch (caught) {
    return caught instanceof Error && "field" in caught ? String(caught.field) : String(caught);
  }
  return "nothing is wrong";
};

describe("a runbook", () => {
  it("that is built in is one that anybody could write, and says what each step is for", () => {
    for (const runbook of builtIn) {
      expect(fieldOf(() => parseRunbook(runbook))).toBe("nothing is wrong");
      expect(runbook.description).not.toBe("");
      const given = Object.fromEntries(
        runbook.parameters.map(({ name, type, defaultValue = type === "node" ? "n1" : "1" }) => [name, defaultValue]),
      );
      const { steps } = fillIn(runbook, given);
      expect(JSON.stringify(steps.map(({ inputs }) => inputs))).not.toContain("${");
      expect(roleFor(steps)).toBe(Role.OPERATOR);
    }
  });

  it.each<[string, Runbook]>([
    ["runbook.name", book([one("wait", { seconds: "1" })], { name: "Mine!" })],
    ["runbook.steps", book([])],
    ["runbook.steps[0].act", book([one("shell", { command: "reboot" })])],
    ["runbook.steps[0].inputs.command", book([one("wait", { seconds: "1", command: "reboot" })])],
    ["runbook.steps[0].inputs.seconds", book([one("wait")])],
    ["runbook.steps[0].inputs.seconds", book([one("wait", { seconds: "-1" })])],
    ["runbook.steps[0].inputs.seconds", book([one("wait", { seconds: "$seconds" })])],
    ["runbook.steps[0].inputs.seconds", book([one("wait", { seconds: "$node" })], { parameters: [node] })],
    ["runbook.steps[0].inputs.node", book([one("drain", { node: "a$node" })], { parameters: [node] })],
    ["runbook.steps[0].inputs.node", book([one("drain", { node: "../etc" })])],
    ["runbook.steps[0].inputs.node", book([one("check", { condition: "node-empty" })])],
    ["runbook.steps[0].inputs.workload", book([one("snapshot", { node: "n1", workload: "db" })])],
    ["runbook.steps[0].inputs.condition", book([one("check", { condition: "all-is-well" })])],
    ["runbook.steps[0].inputs.message", book([one("notify", { message: "x".repeat(1_001) })])],
    ["runbook.steps[0].timeout_seconds", book([one("wait", { seconds: "1" }, { timeoutSeconds: 604_801 })])],
    ["runbook.steps[0].on_failure", book([one("wait", { seconds: "1" }, { onFailure: 9 as StepFailure })])],
    ["runbook.steps[1].name", book([one("wait", { seconds: "1" }), one("wait", { seconds: "1" })])],
    ["runbook.parameters[0]", book([one("wait", { seconds: "1" })], { parameters: [node] })],
    ["runbook.parameters[0].type", book([one("drain", { node: "$node" })], { parameters: [{ ...node, type: "shell" }] })],
    ["runbook.parameters[0].name", book([one("drain", { node: "$No" })], { parameters: [{ ...node, name: "No" }] })],
    ["runbook.parameters[0].default_value", book([one("drain", { node: "$node" })], { parameters: [{ ...node, defaultValue: "N 1" }] })],
    [
      "runbook.steps[0].inputs.kind",
      book([one("drill", { node: "n1", kind: "$kind" })], {
        parameters: [{ name: "kind", type: "choice", choices: ["notice", "flood"] }],
      }),
    ],
  ])("is refused by its field: %s", (field, runbook) => {
    expect(fieldOf(() => parseRunbook(runbook))).toBe(field);
  });

  it("is filled in with what is given and defaults, once: a value that looks like a parameter is only a value", () => {
    const runbook = book([one("notify", { message: "$node: $text" }), { name: "two", act: "drain", inputs: { node: "$node" } }], {
      parameters: [node, { name: "text", type: "text", defaultValue: "standing" }],
    });
    expect(fillIn(runbook, { node: "n1", text: "$node" }).steps.map(({ inputs }) => inputs)).toEqual([
      { message: "n1: $node" },
      { node: "n1", mode: "auto", attempts: "3" },
    ]);
    expect(fillIn(runbook, { node: "n1" }).parameters).toEqual({ node: "n1", text: "standing" });
    expect(fieldOf(() => fillIn(runbook, {}))).toBe("parameters.node");
    expect(fieldOf(() => fillIn(runbook, { node: "" }))).toBe("parameters.node");
    expect(fieldOf(() => fillIn(runbook, { node: "n 1" }))).toBe("parameters.node");
    const echo = book([one("notify", { message: "$text$text$text" })], { parameters: [{ name: "text", type: "text" }] });
    expect(fieldOf(() => fillIn(echo, { text: "x".repeat(1_000) }))).toBe("steps[0].inputs.message");
    expect(fieldOf(() => fillIn(runbook, { node: "n1", pool: "x" }))).toBe("parameters.pool");
    expect(fieldOf(() => fillIn(runbook, { node: "n1", toString: "x" }))).toBe("parameters.toString");
  });
});

describe("the set of acts", () => {
  it("is closed: each has its inputs described, and none takes a command", () => {
    for (const { name, description, inputs } of acts) {
      expect([name, description.endsWith(".")]).toEqual([name, true]);
      expect(inputs.filter((input) => input.description === "" || (input.type === "choice") !== (input.choices !== undefined))).toEqual([]);
    }
    expect(acts.map(({ name }) => name)).toEqual([
      ...["check", "confirm", "cordon", "uncordon", "drain", "migrate", "snapshot", "drill"],
      ...["pause-moves", "resume-moves", "declare-dead", "wait", "notify"],
    ]);
  });
});
