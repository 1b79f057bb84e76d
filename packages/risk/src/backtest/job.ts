/**
 * What a backtest is asked to finish, what a policy may see while it runs, and what comes out.
 * A policy is handed one tick at a time and nothing else: it cannot look ahead because the trace is not in its hands.
 */

export type Choice = "idle" | "spot" | "on_demand";

/** A job with a deadline. All times in seconds, prices in USD per hour for the whole job. */
export interface Job {
  readonly workSeconds: number;
  readonly deadlineSeconds: number;
  /** Paid in full on every start: billed at the new instance's price, no progress meanwhile. */
  readonly changeoverSeconds: number;
  readonly gapSeconds: number;
  readonly onDemandUsdPerHour: number;
  /** Used where the trace carries no price series. */
  readonly spotUsdPerHour: number;
}

/** What is known at the start of a tick. The object is reused between ticks: copy what must be kept. */
export interface TickView {
  elapsedSeconds: number;
  doneSeconds: number;
  remainingSeconds: number;
  /** What ran in the previous tick, after a loss at the start of this one has been counted. */
  current: Choice;
  /** Unfinished changeover of what is running. */
  pendingDelaySeconds: number;
  isSpotAvailable: boolean;
  spotUsdPerHour: number;
}

export interface PolicyRun {
  choose(view: TickView): Choice;
}

export interface Policy {
  readonly name: string;
  /** Starts one run. Called once a window; must not keep anything from earlier windows. */
  begin(job: Job): PolicyRun;
}

export interface RunResult {
  readonly costUsd: number;
  readonly spotSeconds: number;
  readonly onDemandSeconds: number;
  readonly spotProgressSeconds: number;
  readonly onDemandProgressSeconds: number;
  readonly spotStarts: number;
  readonly onDemandStarts: number;
  /** Absent for the omniscient schedule, which has no events. */
  readonly preemptions?: number;
  /** End of the finishing tick; absent for the omniscient schedule, infinite when the job did not finish inside the window. */
  readonly finishSeconds?: number;
  readonly missedDeadline: boolean;
}
