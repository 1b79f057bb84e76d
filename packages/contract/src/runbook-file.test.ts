import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { RunbookSchema, StepFailure } from "./gen/aether/v2/runbook_pb.ts";
import { placeOf, readRunbook, writeRunbook } from "./runbook-file.ts";

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
    ["- one", "a runbook is needed"],
    ["name: x\nstpes: []", "stpes"],
    ["name: x\nsteps: [a]", "steps[0] must have a name"],
    ["name: x\nsteps: [{name: a, act: wait, command: reboot}]", "command"],
    ["name: x\nsteps: [{name: a, act: wait, on_failure: retry}]", "steps[0].on_failure must be stop, continue or undo"],
    ["name: x\nsteps: [{name: a, act: wait, inputs: {seconds: [1]}}]", "steps[0].inputs.seconds must be one value"],
  ])("is refused with what is not understood: %j", (said, why) => {
    expect(() => readRunbook(said)).toThrow(expect.objectContaining({ code: "INVALID_ARGUMENT", message: expect.stringContaining(why) }));
  });

  it.each([
    ["runbook.steps[1].timeout_seconds", 15, "90"],
    ["steps[0].inputs.attempts", 10, "2"],
    ["runbook.parameters[1].default_value", 6, "60"],
    // What is missing is shown where it would be.
    ["runbook.steps[1].inputs.hours", 14, "{seconds: $seconds}"],
    ["runbook.name", 2, "mine"],
  ])("says where %s is written", (field, line, written) => {
    const place = placeOf(text, field);
    expect(place?.line).toBe(line);
    expect(text.slice(place?.from, place?.to)).toContain(written);
  });

  it("knows no place for what is not there, or cannot be read", () => {
    expect(placeOf(text, "runbook.colour")).toBeUndefined();
    expect(placeOf("name: [", "runbook.steps[0]")).toBeUndefined();
  });
});
