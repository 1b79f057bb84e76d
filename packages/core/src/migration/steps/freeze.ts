import { modeToProto } from "../mode.ts";
import { peerOf } from "./peer.ts";
import type { StepDefinition } from "./step.ts";

/** Cuts the network, freezes, dumps, sends. Sent together with RESTORE: the target waits for the images on the direct link. */
export const freeze: StepDefinition = {
  name: "freeze",
  side: "source",
  deadlineMs: 120_000,
  action: (context) => ({ case: "freeze", value: { peer: peerOf(context), mode: modeToProto(context.record.mode) } }),
};
