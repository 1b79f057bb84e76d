// A notice that nobody answers. While the control plane can be reached it decides; when it could not be for a few seconds after a notice, this node
// does the one thing that is safe alone: it keeps the state of its workloads in the store, by a plan that the control plane has signed before.
// It moves nothing: without a commit in one place two nodes could own one workload.
import { type Command, CommandSchema, type ReflexPlan } from "@aether/contract/gen/aether/v2/agent_pb";
import { type Clock, type Logger, type Stoppable, systemClock } from "@aether/kit";
import { create } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import type { PlanFile } from "./plan-file.ts";

export interface ReflexOptions {
  readonly plans: Pick<PlanFile, "current">;
  readonly isConnected: () => boolean;
  /** The notice that is in force; undefined when there is none. */
  readonly notice: () => { readonly effectiveAtMs: number } | undefined;
  /** Workloads that run here, by name, with their epoch. */
  readonly running: () => ReadonlyMap<string, number>;
  /** As if it had come from the control plane: journal, lanes and answers are the same. */
  readonly take: (command: Command) => void;
  readonly log: Logger;
  readonly clock?: Clock;
  /** From the notice, or the loss of the control plane, whichever is later. Default 4 s: a control plane that starts again, or another one that takes over, is there by then. */
  readonly patienceMs?: number;
}

/** What is to be done now: pure. */
export function reflexCommands(plan: ReflexPlan, running: ReadonlyMap<string, number>, leftMs: number): Command[] {
  return [...plan.steps]
    .filter((step) => step.createSnapshot !== undefined && running.get(step.workload) === Number(step.epoch))
    .sort((a, b) => b.priority - a.priority || (a.workload < b.workload ? -1 : 1))
    .map((step) =>
      create(CommandSchema, {
        id: `reflex-${step.createSnapshot?.snapshotId}`,
        workload: step.workload,
        epoch: step.epoch,
        validFor: durationFromMs(Math.max(1_000, leftMs)),
        action: { case: "createSnapshot", value: step.createSnapshot ?? {} },
      }),
    );
}

const calmMs = 1_000;
const alertMs = 250;

export function startReflex(options: ReflexOptions): Stoppable {
  const { plans, isConnected, notice, running, take, log, clock = systemClock, patienceMs = 4_000 } = options;
  let aloneSinceMs: number | undefined;
  let answered: number | undefined;
  const look = () => {
    const heard = notice();
    if (heard === undefined || isConnected()) {
      aloneSinceMs = undefined;
      return;
    }
    const nowMs = clock.monotonicMs();
    aloneSinceMs ??= nowMs;
    if (answered === heard.effectiveAtMs || nowMs - aloneSinceMs < patienceMs) return;
    answered = heard.effectiveAtMs;
    const leftMs = heard.effectiveAtMs - clock.nowMs();
    const plan = plans.current();
    if (plan === undefined) return log.error({ leftMs }, "reflex.no_plan: a notice, no control plane, and no plan that holds");
    const commands = reflexCommands(plan, running(), leftMs);
    log.warn({ leftMs, version: Number(plan.version), workloads: commands.map(({ workload }) => workload) }, "reflex.acts");
    for (const command of commands) take(command);
  };
  // A look costs little and a wake of the process does not: while nothing is announced one a second will do.
  const again = (): NodeJS.Timeout =>
    setTimeout(
      () => {
        look();
        timer = again();
      },
      notice() === undefined ? calmMs : alertMs,
    );
  let timer = again();
  return {
    async stop() {
      clearTimeout(timer);
    },
  };
}
