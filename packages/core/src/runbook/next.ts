// What a run does next, from its record alone. Pure: no clock, no I/O. Whether a step has come to its end is for its act to say (run.ts).
import { hasRunEnded, type RunRecord, type StepRecord } from "./state.ts";

export type Next =
  | { readonly kind: "begin" | "look" | "cut" | "undo"; readonly position: number }
  /** The run goes backwards from here. */
  | { readonly kind: "turn" }
  | { readonly kind: "end"; readonly state: "done" | "failed" | "cancelled" }
  | { readonly kind: "ended" };

const isUnderWay = ({ state }: StepRecord) => state === "running" || state === "waiting";
const isSettled = ({ state, onFailure }: StepRecord) => state === "done" || (state === "failed" && onFailure === "continue");
/** It ended the run. */
const hasEndedIt = ({ state, onFailure }: StepRecord) => state === "failed" && onFailure !== "continue";

export function next({ state, steps, isCancelRequested, isUndoRequested }: RunRecord): Next {
  if (hasRunEnded(state)) return { kind: "ended" };
  const breaking = steps.find(hasEndedIt);
  if (state === "undoing") {
    const position = steps.findLastIndex(({ state: each, isUndoable, isUndoSettled }) => isUndoable && !isUndoSettled && hasBegun(each));
    if (position >= 0) return { kind: "undo", position };
    return { kind: "end", state: breaking === undefined ? "cancelled" : "failed" };
  }
  if (breaking !== undefined) return breaking.onFailure === "undo" ? { kind: "turn" } : { kind: "end", state: "failed" };
  const position = steps.findIndex((step) => !isSettled(step));
  const current = steps[position];
  if (current === undefined) return { kind: "end", state: "done" };
  if (isCancelRequested) {
    if (isUnderWay(current)) return { kind: "cut", position };
    return isUndoRequested ? { kind: "turn" } : { kind: "end", state: "cancelled" };
  }
  return { kind: isUnderWay(current) ? "look" : "begin", position };
}

/** It may have set something. */
const hasBegun = (state: StepRecord["state"]) => state !== "pending" && state !== "skipped";
