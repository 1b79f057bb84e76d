// What a new installation does first, each step done by what really happened and by nothing else. Pure.
import { type Certificate, Verdict } from "@aether/contract/gen/aether/v2/certificate_pb";
import { type Drill, DrillState } from "@aether/contract/gen/aether/v2/drill_pb";
import type { Node } from "@aether/contract/gen/aether/v2/node_pb";
import { type Workload, WorkloadState } from "@aether/contract/gen/aether/v2/workload_pb";

export interface Facts {
  readonly nodes: readonly Node[];
  readonly workloads: readonly Workload[];
  /** Undefined where the control plane issues none. */
  readonly certificates: readonly Certificate[] | undefined;
  readonly drills: readonly Drill[];
}

export interface Step {
  readonly id: string;
  readonly title: string;
  readonly isDone: boolean;
  /** What was seen, or what to do. */
  readonly detail: string;
  readonly command?: string;
}

export function firstSteps({ nodes, workloads, certificates, drills }: Facts): Step[] {
  const measured = nodes.find(({ usage }) => usage !== undefined);
  const running = workloads.find(({ state }) => state === WorkloadState.RUNNING || state === WorkloadState.MIGRATING);
  const green = certificates?.find(({ verdict }) => verdict === Verdict.GREEN);
  const worst = certificates?.find(({ blockers }) => blockers.length > 0);
  const passed = drills.find(({ state }) => state === DrillState.PASSED);
  return [
    {
      id: "node",
      title: "A node joins",
      isDone: nodes.length > 0,
      detail:
        nodes.length > 0
          ? `${nodes.length === 1 ? nodes[0]?.id : `${nodes.length} nodes`} joined`
          : "Make a token, which works once, and start the agent with it on the machine.",
      command: "aether token create --role agent",
    },
    {
      id: "telemetry",
      title: "It is measured",
      isDone: measured !== undefined,
      detail: measured === undefined ? "Its first heartbeat brings numbers, within seconds of the join." : `${measured.id} reports`,
      command: "aether nodes",
    },
    {
      id: "workload",
      title: "A workload runs",
      isDone: running !== undefined,
      detail:
        running === undefined ? "Anything with state will do; give it a health check." : `${running.spec?.name} runs on ${running.nodeId}`,
      command: "aether run db --health tcp:6379 -- redis-server --bind 0.0.0.0 --protected-mode no",
    },
    ...(certificates === undefined
      ? []
      : [
          {
            id: "certificate",
            title: "Its certificate is green",
            isDone: green !== undefined,
            detail:
              green?.summary ??
              worst?.blockers[0]?.mend ??
              worst?.summary ??
              "It says whether the workload would survive a reclaim, and what is in the way.",
            command: "aether certificate",
          },
        ]),
    {
      id: "drill",
      title: "A drill passes",
      isDone: passed !== undefined,
      detail:
        passed === undefined ? "Press “Interrupt this node” below, and watch the workload move." : `the drill on ${passed.nodeId} passed`,
      command: "aether drill start --kind notice --node NODE --wait",
    },
  ];
}
