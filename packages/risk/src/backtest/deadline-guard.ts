/**
 * The rule that makes deadline misses impossible: a choice is allowed only if, should spot vanish for ever at the next tick, on-demand alone
 * still finishes in time. It trusts no estimate. A job that could not be finished on on-demand from the start cannot be saved by it.
 */
import type { Choice, Job, TickView } from "./job.ts";

/** True if choosing `choice` now leaves the deadline safe whatever happens next. */
export function isDeadlineSafe(choice: Choice, job: Job, view: TickView): boolean {
  const gap = job.gapSeconds;
  const isStart = choice !== view.current && choice !== "idle";
  const delay = isStart ? job.changeoverSeconds : view.pendingDelaySeconds;
  const worked = choice === "idle" ? 0 : Math.max(gap - delay, 0);
  const delayAfter = choice === "idle" ? 0 : Math.max(delay - gap, 0);
  const workAfter = Math.max(view.remainingSeconds - worked, 0);
  const roomAfter = Math.floor((job.deadlineSeconds - view.elapsedSeconds) / gap + 1e-9) * gap - gap;
  if (workAfter <= 1e-3) return roomAfter >= 0;
  const need = workAfter + (choice === "on_demand" ? delayAfter : job.changeoverSeconds);
  return Math.ceil(need / gap - 1e-9) * gap <= roomAfter;
}
