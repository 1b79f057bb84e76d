import type { NodeCapabilities } from "@aether/contract/gen/aether/v2/node_pb";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { modeToProto } from "../mode.ts";
import type { PairRates } from "../rates.ts";
import type { Mode } from "../state.ts";
import type { StepDefinition } from "./step.ts";

/** Can it be moved as it is, and how? Changes nothing; also picks the mode. */
export const preflight: StepDefinition = {
  name: "preflight",
  side: "source",
  deadlineMs: 30_000,
  action: ({ record, targetCapabilities, rates, nowMs }) => ({
    case: "preflight",
    value: preflightOf(record.requestedMode, targetCapabilities, rates, record.deadlineAtMs && record.deadlineAtMs - nowMs),
  }),
};

/** @param timeLeftMs until the freeze must begin; undefined: no deadline */
export function preflightOf(
  mode: Mode,
  targetCapabilities: NodeCapabilities | undefined,
  rates: PairRates,
  timeLeftMs: number | undefined,
) {
  return {
    requestedMode: modeToProto(mode),
    ...(targetCapabilities === undefined ? {} : { targetCapabilities }),
    linkBytesPerSecond: rates.link,
    dirtyBytesPerSecond: rates.dirty,
    ratesBasis: rates.basis,
    targetMemoryAvailableBytes: BigInt(rates.targetFreeBytes),
    ...(timeLeftMs === undefined ? {} : { timeLeft: durationFromMs(Math.max(0, timeLeftMs)) }),
  };
}
