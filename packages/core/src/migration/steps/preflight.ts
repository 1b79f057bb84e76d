import { modeToProto } from "../mode.ts";
import type { StepDefinition } from "./step.ts";

/** Can it be moved as it is, and how? Changes nothing; also picks the mode. */
export const preflight: StepDefinition = {
  name: "preflight",
  side: "source",
  deadlineMs: 30_000,
  action: ({ record, targetCapabilities }) => ({
    case: "preflight",
    value: {
      requestedMode: modeToProto(record.requestedMode),
      ...(targetCapabilities === undefined ? {} : { targetCapabilities }),
    },
  }),
};
