// Guard rails for people.
import type { Guards } from "@aether/contract/gen/aether/v2/guard_pb";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { ago, duration } from "./units.ts";

export function describeGuards(guards: Guards, nowMs: number): string {
  const left = (until: Guards["pausedAt"]) => (until === undefined ? "" : `for ${duration(timestampMs(until) - nowMs)} more`);
  return [
    guards.isPaused
      ? `PAUSED by ${guards.pausedBy} ${ago(guards.pausedAt, nowMs)}${guards.pausedReason === "" ? "" : `: ${guards.pausedReason}`}. Nothing moves by itself.`
      : "Moves happen by themselves.",
    guards.windows.length === 0
      ? "No maintenance window: moves that nothing forces may happen at any time."
      : `Moves that nothing forces happen ${guards.windows.map(({ days, from, to }) => `${days.length === 0 ? "daily" : days.join(", ")} ${from} to ${to} UTC`).join("; ")}; it is ${guards.isInWindow ? "" : "not "}time now.`,
    `${guards.movesUnderWay} of at most ${guards.movesAtOnce} moves are under way (${guards.movesAtOnceEachNode} a node).`,
    ...(guards.openCircuits.length === 0 ? ["No pair of nodes is shut."] : ["Pairs that are not used:"]),
    ...guards.openCircuits.map(
      (pair) =>
        `  ${pair.sourceNodeId} -> ${pair.targetNodeId}: ${pair.failures} failures in a row (${pair.lastError}), ${left(pair.until)}`,
    ),
    ...(guards.resting.length === 0 ? ["No workload rests."] : ["Workloads that rest:"]),
    ...guards.resting.map((rest) => `  ${rest.workload}: ${rest.reason}, ${left(rest.until)}`),
  ].join("\n");
}
