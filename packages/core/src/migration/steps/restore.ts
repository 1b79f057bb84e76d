import { modeToProto } from "../mode.ts";
import type { StepDefinition } from "./step.ts";

/** Brings the workload up on the target, stopped: no instruction of it runs and no packet of it leaves before the commit. */
export const restore: StepDefinition = {
  name: "restore",
  side: "target",
  deadlineMs: 120_000,
  action: ({ record }) => ({ case: "restore", value: { mode: modeToProto(record.mode) } }),
};
