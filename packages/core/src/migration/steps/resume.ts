import type { StepDefinition } from "./step.ts";

/** After the commit only: continue in the new epoch, release the held packets, announce the address, check the health. Repeated until it succeeds. */
export const resume: StepDefinition = {
  name: "resume",
  side: "target",
  deadlineMs: 120_000,
  action: ({ record }) => ({ case: "resume", value: { newEpoch: BigInt(record.epochBefore + 1) } }),
};
