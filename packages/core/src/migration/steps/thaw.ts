import type { StepDefinition } from "./step.ts";

/** Before the commit only: the source runs again, with its network. Safe without a FREEZE before it. */
export const thaw: StepDefinition = {
  name: "thaw",
  side: "source",
  deadlineMs: 120_000,
  action: () => ({ case: "thaw", value: {} }),
};
