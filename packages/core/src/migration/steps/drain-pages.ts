import type { StepDefinition } from "./step.ts";

/** Post-copy only: every page has reached the target. The source must live until then. */
export const drainPages: StepDefinition = {
  name: "drain_pages",
  side: "target",
  deadlineMs: 10 * 60_000,
  action: () => ({ case: "drainPages", value: {} }),
};
