import { modeToProto } from "../mode.ts";
import { okResult, type StepDefinition } from "./step.ts";

/** The target reserves, makes namespace, mounts and hold ready, and lets the source's link in. */
export const prepare: StepDefinition = {
  name: "prepare",
  side: "target",
  deadlineMs: 60_000,
  action: ({ record, commands, spec }) => {
    const facts = okResult(commands, "preflight")?.facts;
    return {
      case: "prepare",
      value: {
        spec,
        sourceNodeId: record.sourceNodeId,
        mode: modeToProto(record.mode),
        expectedMemoryBytes: facts?.case === "preflight" ? facts.value.memoryBytes : 0n,
      },
    };
  },
};
