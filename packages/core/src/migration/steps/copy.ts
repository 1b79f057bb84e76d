import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { modeToProto } from "../mode.ts";
import { peerOf } from "./peer.ts";
import type { StepDefinition } from "./step.ts";

/** Files, and memory where the mode says so, travel while the workload runs. */
export const copy: StepDefinition = {
  name: "copy",
  side: "source",
  deadlineMs: 15 * 60_000,
  action: (context) => {
    const { deadlineAtMs, mode, requestedMode, cause } = context.record;
    const timeLeft = deadlineAtMs === undefined ? {} : { timeLeft: durationFromMs(Math.max(0, deadlineAtMs - context.nowMs)) };
    const what = {
      peer: peerOf(context),
      mode: modeToProto(mode),
      // A person's word; of a policy it is a wish, which must not cost the move.
      isModeRequired: requestedMode === mode && !cause.startsWith("decision/"),
      minCpuPercent: context.minCpuPercent,
      // Against a deadline a long freeze is the lesser evil.
      maxFreezeMs: deadlineAtMs === undefined ? context.maxFreezeMs : 0,
    };
    return { case: "copy", value: { ...what, ...timeLeft } };
  },
};
