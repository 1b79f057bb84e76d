// What a decision is made of: everything that the rules may look at, read beforehand.
import type { WorkloadNeeds } from "@aether/contract/gen/aether/v2/preflight_pb";
import type { SignalKindText } from "../db/tables/moves.ts";
import type { WorkloadStateText } from "../db/tables/workloads.ts";
import type { Rest } from "../guard/rails.ts";
import type { NodeView, ScoreContext } from "../migration/plan.ts";
import type { Mode } from "../migration/state.ts";
import type { MoveTimes, WaveLimits } from "../migration/wave.ts";
import type { Effective } from "../policy/resolve.ts";
import type { Weighed } from "../risk/weigh.ts";

export interface DecisionPolicy {
  /** What a rebalance recommendation leads to: moves, moves where they pay, or nothing. A notice always leads to moves. */
  readonly onRebalance: "weigh" | "migrate" | "hold";
}

export interface SignalView {
  readonly id: string;
  readonly kind: SignalKindText;
  readonly nodeId: string;
  /** When the node will be gone; undefined where the signal does not say. */
  readonly effectiveAtMs: number | undefined;
}

export interface WorkloadView {
  readonly name: string;
  readonly state: WorkloadStateText;
  readonly memoryBytes: number;
  readonly priority: number;
  /** In which a move is asked for; default: auto. */
  readonly mode?: Mode;
  /** Of its policies; a move that nothing forces waits for them. */
  readonly windows?: Effective["windows"];
  readonly needs: WorkloadNeeds | undefined;
  readonly hasSharedVolume: boolean;
  readonly times: MoveTimes;
  /** The move in progress, and where to. */
  readonly migration: { readonly id: string; readonly targetNodeId: string } | undefined;
}

/** The guard rails as they stand. */
export interface RailsView {
  readonly isPaused: boolean;
  readonly pausedReason: string;
  readonly isInWindow: boolean;
  readonly resting: ReadonlyMap<string, Rest>;
  readonly leftRecently: ReadonlyMap<string, ReadonlySet<string>>;
  readonly limits: WaveLimits;
}

export interface DecisionInput {
  readonly signals: readonly SignalView[];
  /** By node, of the signals' nodes. */
  readonly workloads: ReadonlyMap<string, readonly WorkloadView[]>;
  /** All nodes, the signals' own included; none where nothing runs on those. */
  readonly nodes: readonly NodeView[];
  readonly context: ScoreContext;
  readonly rails: RailsView;
  readonly policy: DecisionPolicy;
  /** By workload: does a move pay? What is not in it is not weighed. */
  readonly weighed: ReadonlyMap<string, Weighed>;
}
