/**
 * The tick-by-tick simulator, with the published semantics of the Can't Be Late simulator (Wu et al., NSDI'24): a tick is spot, on-demand or
 * idle as a whole and is billed whole; a loss at the start of a tick keeps the progress of the one before; every start pays the full
 * changeover. Results equal the public simulator's to 1e-5 USD, so nothing here may be "improved" without a new name for it.
 */
import type { Choice, Job, Policy, RunResult, TickView } from "./job.ts";
import type { Trace } from "./trace.ts";

/** Values below this count as zero, as in the reference (1 ms). */
const EPSILON_SECONDS = 1e-3;

/** Runs one policy over one window that starts at `startTick`. Ticks past the end of the trace have no spot. Throws if the policy picks spot that is not there. */
export function simulate(trace: Trace, startTick: number, job: Job, policy: Policy): RunResult {
  const gap = job.gapSeconds;
  const run = policy.begin(job);
  const view: TickView = {
    elapsedSeconds: 0,
    doneSeconds: 0,
    remainingSeconds: job.workSeconds,
    current: "idle",
    pendingDelaySeconds: 0,
    isSpotAvailable: false,
    spotUsdPerHour: job.spotUsdPerHour,
  };
  let previous: Choice = "idle";
  let delay = 0;
  let done = 0;
  let costUsd = 0;
  let spotTicks = 0;
  let onDemandTicks = 0;
  let spotProgressSeconds = 0;
  let spotStarts = 0;
  let onDemandStarts = 0;
  let preemptions = 0;
  let finishSeconds = Number.POSITIVE_INFINITY;
  // A policy that never finishes would run for ever: after twice the deadline nothing more can be learnt.
  const lastTick = 2 * Math.ceil(job.deadlineSeconds / gap) + 2;
  for (let tick = 0; tick <= lastTick; tick++) {
    if (previous !== "idle") {
      const worked = Math.max(gap - delay, 0);
      delay -= gap - worked;
      if (delay < EPSILON_SECONDS) delay = 0;
      const progress = Math.min(worked, job.workSeconds - done);
      done += progress;
      if (previous === "spot") spotProgressSeconds += progress;
    }
    if (job.workSeconds - done <= EPSILON_SECONDS) {
      finishSeconds = tick * gap;
      break;
    }
    const at = startTick + tick;
    const isSpotAvailable = trace.available[at] === 1;
    let current: Choice = previous;
    if (previous === "spot" && !isSpotAvailable) {
      current = "idle";
      preemptions++;
    }
    const spotUsdPerHour = trace.spotUsdPerHour?.[at] ?? job.spotUsdPerHour;
    view.elapsedSeconds = tick * gap;
    view.doneSeconds = done;
    view.remainingSeconds = job.workSeconds - done;
    view.current = current;
    view.pendingDelaySeconds = delay;
    view.isSpotAvailable = isSpotAvailable;
    view.spotUsdPerHour = spotUsdPerHour;
    const choice: Choice = run.choose(view);
    if (choice === "spot" && !isSpotAvailable) throw new RangeError(`policy ${policy.name} chose spot at tick ${tick} where there is none`);
    if (choice !== current && choice !== "idle") {
      delay = job.changeoverSeconds;
      if (choice === "spot") spotStarts++;
      else onDemandStarts++;
    }
    if (choice === "spot") {
      costUsd += (spotUsdPerHour * gap) / 3600;
      spotTicks++;
    } else if (choice === "on_demand") {
      costUsd += (job.onDemandUsdPerHour * gap) / 3600;
      onDemandTicks++;
    }
    previous = choice;
  }
  return {
    costUsd,
    spotSeconds: spotTicks * gap,
    onDemandSeconds: onDemandTicks * gap,
    spotProgressSeconds,
    onDemandProgressSeconds: done - spotProgressSeconds,
    spotStarts,
    onDemandStarts,
    preemptions,
    finishSeconds,
    missedDeadline: finishSeconds > job.deadlineSeconds + EPSILON_SECONDS,
  };
}
