// A run and its steps, as they are decided about.
//
//   run:   running -> done
//             |-----> failed
//             |-----> cancelled
//             +-----> undoing -> failed | cancelled
//
//   step:  pending -> running | waiting -> done       what is done, failed or cancelled may be taken back: undone
//             |           |------------> failed
//             |           +------------> cancelled
//             +-> skipped
export type RunStateText = "running" | "undoing" | "done" | "failed" | "cancelled";
export type StepStateText = "pending" | "running" | "waiting" | "done" | "failed" | "skipped" | "undone" | "cancelled";
export type OnFailureText = "stop" | "continue" | "undo";

export interface StepRecord {
  readonly state: StepStateText;
  readonly onFailure: OnFailureText;
  /** Its act knows how to take back what it has set. */
  readonly isUndoable: boolean;
  /** What was to be taken back is, or could not be, or was nothing. */
  readonly isUndoSettled: boolean;
}

export interface RunRecord {
  readonly state: RunStateText;
  readonly steps: readonly StepRecord[];
  readonly isCancelRequested: boolean;
  /** With the cancel. */
  readonly isUndoRequested: boolean;
}

export const hasRunEnded = (state: RunStateText): boolean => state === "done" || state === "failed" || state === "cancelled";
