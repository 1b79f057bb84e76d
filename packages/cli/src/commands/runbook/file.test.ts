import { RunbookSchema, StepFailure } from "@aether/contract/gen/aether/v2/runbook_pb";
import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { readRunbook, writeRunbook } from "./file.ts";

const text = `
name: mine
description: what it is for
parameters:
  - {name: node, type: node}
  - {name: seconds, type: number, default: 60}
steps:
  - name: leave
    act: drain
    inputs: {node: $node, attempts: 2}
    on_failure: undo
  - name: rest
    act: wait
    inputs: {seconds: $seconds}
    timeout_seconds: 90
  - {name: sure, act: confirm, inputs: {message: "$node: go on?", other_person: yes}}
`;

describe("a runbook in a file", () => {
  it("is read as the contract's, and written as it was read", () => {
    const runbook = readRunbook(text);
    expect(runbook).toEqual(
      create(RunbookSchema, {
        name: "mine",
        description: "what it is for",
        parameters: [
          { name: "node", type: "node" },
          { name: "seconds", type: "number", defaultValue: "60" },
        ],
        steps: [
          { name: "leave", act: "drain", inputs: { node: "$node", attempts: "2" }, onFailure: StepFailure.UNDO },
          { name: "rest", act: "wait", inputs: { seconds: "$seconds" }, timeoutSeconds: 90 },
          { name: "sure", act: "confirm", inputs: { message: "$node: go on?", other_person: "yes" } },
        ],
      }),
    );
    expect(readRunbook(writeRunbook(runbook))).toEqual(runbook);
  });

  it.each([
    ["name: [", "neither YAML nor JSON"],
    ["- one", "must hold a runbook"],
    ["name: x\nstpes: []", "stpes"],
    ["name: x\nsteps: [a]", "steps[0] must have a name"],
    ["name: x\nsteps: [{name: a, act: wait, command: reboot}]", "command"],
    ["name: x\nsteps: [{name: a, act: wait, on_failure: retry}]", "steps[0].on_failure must be stop, continue or undo"],
    ["name: x\nsteps: [{name: a, act: wait, inputs: {seconds: [1]}}]", "steps[0].inputs.seconds must be one value"],
  ])("is refused with what is not understood: %j", (said, why) => {
    expect(() => readRunbook(said)).toThrow(expect.objectContaining({ code: "INVALID_ARGUMENT", message: expect.stringContaining(why) }));
  });
});
