import type { StepDefinition } from "./step.ts";

/** After the target has resumed, is healthy and has every page: the source's frozen copy is destroyed. */
export const release: StepDefinition = {
  name: "release",
  side: "source",
  deadlineMs: 60_000,
  action: () => ({ case: "release", value: {} }),
};
