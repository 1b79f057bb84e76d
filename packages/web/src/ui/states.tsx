// The states of everything, each with its word and its tone, in one place.
import { HealthState } from "@aether/contract/gen/aether/v2/common_pb";
import { type Drill, DrillState } from "@aether/contract/gen/aether/v2/drill_pb";
import { MigrationMode, MigrationState } from "@aether/contract/gen/aether/v2/migration_pb";
import { type Node, NodeState } from "@aether/contract/gen/aether/v2/node_pb";
import { type Workload, WorkloadState } from "@aether/contract/gen/aether/v2/workload_pb";
import { words } from "../format/units.ts";
import { Badge, type Tone } from "./badge.tsx";

const nodeTones: Partial<Record<NodeState, Tone>> = {
  [NodeState.READY]: "good",
  [NodeState.LOST]: "bad",
  [NodeState.CORDONED]: "warn",
  [NodeState.INTERRUPTED]: "warn",
};
export const nodeWord = (state: NodeState): string => words(NodeState[state]);

export function NodeBadge({ node }: { node: Pick<Node, "state" | "isConnected" | "declaredDeadAt"> }) {
  if (node.declaredDeadAt !== undefined) return <Badge tone="bad">declared dead</Badge>;
  const isAway = !node.isConnected && node.state !== NodeState.LOST;
  return (
    <span className="inline-flex gap-1">
      <Badge tone={nodeTones[node.state] ?? "plain"}>{nodeWord(node.state)}</Badge>
      {isAway && <Badge tone="warn">not connected</Badge>}
    </span>
  );
}

const workloadTones: Partial<Record<WorkloadState, Tone>> = {
  [WorkloadState.RUNNING]: "good",
  [WorkloadState.STARTING]: "accent",
  [WorkloadState.MIGRATING]: "accent",
  [WorkloadState.EXITED]: "warn",
  [WorkloadState.FAILED]: "bad",
  [WorkloadState.LOST]: "bad",
  [WorkloadState.NEEDS_OPERATOR]: "bad",
};
export const workloadWord = (state: WorkloadState): string => words(WorkloadState[state]);

export function WorkloadBadge({ workload: { state } }: { workload: Pick<Workload, "state"> }) {
  const isLive = state === WorkloadState.MIGRATING || state === WorkloadState.STARTING;
  return (
    <Badge tone={workloadTones[state] ?? "plain"} isLive={isLive}>
      {workloadWord(state)}
    </Badge>
  );
}

export function HealthBadge({ health, hasCheck }: { health: HealthState; hasCheck: boolean }) {
  if (!hasCheck) return <Badge>no health check</Badge>;
  if (health === HealthState.PASSING) return <Badge tone="good">healthy</Badge>;
  if (health === HealthState.FAILING) return <Badge tone="bad">not healthy</Badge>;
  return <Badge>health not known</Badge>;
}

export const migrationWord = (state: MigrationState): string => words(MigrationState[state]);
export const modeWord = (mode: MigrationMode): string =>
  mode === MigrationMode.UNSPECIFIED ? "not chosen yet" : words(MigrationMode[mode]).replaceAll(" ", "-");

export function MigrationBadge({ state }: { state: MigrationState }) {
  const tone: Tone =
    state === MigrationState.DONE
      ? "good"
      : state === MigrationState.ROLLED_BACK
        ? "warn"
        : state === MigrationState.NEEDS_OPERATOR
          ? "bad"
          : "accent";
  return (
    <Badge tone={tone} isLive={tone === "accent"}>
      {migrationWord(state)}
    </Badge>
  );
}

export function DrillBadge({ drill: { state } }: { drill: Pick<Drill, "state"> }) {
  const tones: Partial<Record<DrillState, Tone>> = {
    [DrillState.RUNNING]: "accent",
    [DrillState.PASSED]: "good",
    [DrillState.FAILED]: "bad",
    [DrillState.STOPPED]: "warn",
  };
  return (
    <Badge tone={tones[state] ?? "plain"} isLive={state === DrillState.RUNNING}>
      {words(DrillState[state])}
    </Badge>
  );
}
