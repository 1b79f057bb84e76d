import type { StepDefinition } from "./step.ts";

/** Before the commit only: the target destroys what it prepared or restored. Safe without a PREPARE before it. */
export const abort: StepDefinition = {
  name: "abort",
  side: "target",
  deadlineMs: 30_000,
  action: () => ({ case: "abort", value: {} }),
};
