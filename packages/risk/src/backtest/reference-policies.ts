/**
 * The published policies, rule for rule (Wu et al., "Can't Be Late", NSDI'24, and the authors' strategy files): what ours must beat.
 * `greedy` is the paper's rule with its safety net at C+2d; `up` is Uniform Progress with hysteresis; `up_plain` is the same without it.
 */
import type { Choice, Job, Policy, TickView } from "./job.ts";

/** Applies the two deadline rules that greedy and Uniform Progress share to what the policy would have liked. */
function withSafetyNet(wanted: Choice, job: Job, view: TickView): Choice {
  const gap = job.gapSeconds;
  const room = Math.floor((job.deadlineSeconds - view.elapsedSeconds) / gap) * gap;
  const needOnce = Math.ceil((view.remainingSeconds + job.changeoverSeconds) / gap) * gap;
  const needTwice = Math.ceil((view.remainingSeconds + 2 * job.changeoverSeconds) / gap) * gap;
  let choice = wanted;
  if (needTwice >= room && view.current !== "spot") choice = "on_demand";
  if (needOnce >= room) choice = view.current === "spot" && view.pendingDelaySeconds === 0 ? "spot" : "on_demand";
  return choice;
}

export const onDemandPolicy: Policy = { name: "on_demand", begin: () => ({ choose: () => "on_demand" }) };

export const greedyPolicy: Policy = {
  name: "greedy",
  begin: (job) => ({ choose: (view) => withSafetyNet(view.isSpotAvailable ? "spot" : "idle", job, view) }),
};

function uniformProgress(name: string, keepsOnDemandUntilAhead: boolean): Policy {
  return {
    name,
    begin: (job) => ({
      choose(view) {
        const pace = job.workSeconds / job.deadlineSeconds;
        let wanted: Choice = view.isSpotAvailable ? "spot" : "idle";
        if (view.doneSeconds < view.elapsedSeconds * pace) wanted = view.isSpotAvailable ? "spot" : "on_demand";
        if (view.current === "on_demand") {
          const isNotYetAhead = view.doneSeconds <= (view.elapsedSeconds + 2 * job.changeoverSeconds) * pace;
          if (!view.isSpotAvailable || (keepsOnDemandUntilAhead && isNotYetAhead)) wanted = "on_demand";
        }
        return withSafetyNet(wanted, job, view);
      },
    }),
  };
}

export const uniformProgressPolicy: Policy = uniformProgress("up", true);
export const uniformProgressPlainPolicy: Policy = uniformProgress("up_plain", false);
