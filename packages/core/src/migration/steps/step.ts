// A step is one command to one side: how long it may take and what the command says. One file a step; the list is in index.ts.
import type { CommandSchema } from "@aether/contract/gen/aether/v2/agent_pb";
import type { NodeCapabilities } from "@aether/contract/gen/aether/v2/node_pb";
import type { WorkloadSpec } from "@aether/contract/gen/aether/v2/workload_pb";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { PairRates } from "../rates.ts";
import type { CommandFact, MigrationRecord, Side, StepName } from "../state.ts";

export type Action = NonNullable<MessageInitShape<typeof CommandSchema>["action"]>;

/** What a step may need to know beside the record. */
export interface StepContext {
  readonly record: MigrationRecord;
  readonly commands: readonly CommandFact[];
  readonly spec: WorkloadSpec;
  /** What the copy may hold the workload down to, in percent of one processor; 0: never. */
  readonly minCpuPercent: number;
  /** How long its clients may wait; 0: no objective. */
  readonly maxFreezeMs: number;
  readonly targetCapabilities: NodeCapabilities | undefined;
  readonly rates: PairRates;
  /** When the command is made. */
  readonly nowMs: number;
}

export interface StepDefinition {
  readonly name: StepName;
  readonly side: Side;
  /** From the intent to the answer, ms, the node's absence included. Longer than the engine's own deadline for it. */
  readonly deadlineMs: number;
  action(context: StepContext): Action;
}

/** The last result of a step that went well. */
export function okResult(commands: readonly CommandFact[], step: StepName): CommandFact["result"] {
  return commands.findLast((command) => command.step === step && command.outcome === "ok")?.result;
}
