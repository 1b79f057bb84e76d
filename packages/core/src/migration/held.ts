// A move in this process's hands: the record as the lease guarantees it, what is known of its commands, and those that are under way.

import { fault } from "@aether/contract";
import { type Command, CommandOutcome, type CommandResult, CommandSchema } from "@aether/contract/gen/aether/v2/agent_pb";
import type { MemoryCopy } from "@aether/contract/gen/aether/v2/memory_pb";
import { type MigrationPhase, MigrationPhaseSchema } from "@aether/contract/gen/aether/v2/migration_pb";
import type { NodeCapabilities } from "@aether/contract/gen/aether/v2/node_pb";
import { NodeFactsSchema } from "@aether/contract/gen/aether/v2/node_pb";
import { type WorkloadSpec, WorkloadSpecSchema } from "@aether/contract/gen/aether/v2/workload_pb";
import { create } from "@bufbuild/protobuf";
import { durationFromMs, timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { Kysely } from "kysely";
import { fromColumn } from "../db/proto.ts";
import type { Database } from "../db/schema.ts";
import { continueTrace } from "../http/trace.ts";
import { readPoliciesInForce } from "../policy/in-force.ts";
import { type PairRates, readPairRates, unknownRates } from "./rates.ts";
import { type CommandFact, type MigrationRecord, ownNode, type StepName } from "./state.ts";
import { steps } from "./steps/index.ts";

/** What a step may need beside the record. */
export interface Surroundings {
  readonly spec: WorkloadSpec;
  /** As its spec or its policies say now; 0: never held down. */
  readonly minCpuPercent: number;
  /** As its spec or its policies say now; 0: no objective. */
  readonly maxFreezeMs: number;
  readonly targetCapabilities: NodeCapabilities | undefined;
  readonly rates: PairRates;
  readonly isPlaced: boolean;
}

export interface Held {
  record: MigrationRecord;
  commands: CommandFact[];
  /** Outcomes that the journal has not written down yet. */
  readonly news: Set<string>;
  /** Read before the first thing that is done about it. */
  around: Surroundings | undefined;
  /** Commands that this process has sent and waits for. */
  readonly flights: Map<string, AbortController>;
  /** What this process had collected when the freeze was ordered, ms (kit's countCollections). */
  collectedBeforeMs?: number;
  /** Phases that ended while their command still runs; for people, lost with the process. */
  livePhases: MigrationPhase[];
  /** All passes of a copy under way. */
  liveMemory?: MemoryCopy;
}

export const newHeld = (record: MigrationRecord, commands: CommandFact[]): Held => ({
  record,
  commands,
  news: new Set(),
  around: undefined,
  flights: new Map(),
  livePhases: [],
});

export async function readSurroundings(db: Kysely<Database>, record: MigrationRecord, nowMs: number): Promise<Surroundings> {
  const workload = await db.selectFrom("workloads").select("spec").where("name", "=", record.workload).executeTakeFirst();
  const target = await db.selectFrom("nodes").select("facts").where("id", "=", record.targetNodeId).executeTakeFirst();
  const placement = await db
    .selectFrom("placements")
    .select(["node_id", "epoch"])
    .where("workload", "=", record.workload)
    .where("is_active", "=", true)
    .executeTakeFirst();
  const facts = target === undefined ? undefined : fromColumn(NodeFactsSchema, target.facts);
  const spec =
    workload === undefined ? create(WorkloadSpecSchema, { name: record.workload }) : fromColumn(WorkloadSpecSchema, workload.spec);
  const inForce = (await readPoliciesInForce(db)).of(spec);
  return {
    spec,
    minCpuPercent: inForce.minCpuPercent.value,
    maxFreezeMs: inForce.maxFreezeMs.value,
    targetCapabilities: facts?.capabilities,
    // Asked for while the mode is still open.
    rates:
      record.state === "planned" || record.state === "preparing"
        ? await readPairRates(db, record.workload, record.sourceNodeId, record.targetNodeId, nowMs)
        : unknownRates,
    isPlaced: placement !== undefined && placement.node_id === record.sourceNodeId && Number(placement.epoch) === record.epochBefore,
  };
}

/**
 * The command of a step. Its epoch is that of the placement which its node has: E until the resume, on the source also after it;
 * E+1 for what the target does once it has resumed. RESUME itself is sent in E and carries E+1.
 * A step on the way to the commit that is sent again has only the rest of its time, by this clock: `next` goes another way when that is over. What
 * finishes or undoes a move is never too late.
 */
export function buildCommand(held: Held, id: string, step: StepName, nowMs: number, intendedAtMs: number = nowMs): Command {
  const { record, around } = held;
  if (around === undefined) throw fault("INTERNAL", `${record.id}: a command before its surroundings are known`);
  const definition = steps[step];
  return create(CommandSchema, {
    id,
    workload: record.workload,
    epoch: BigInt(step === "drain_pages" ? record.epochBefore + 1 : record.epochBefore),
    migrationId: record.id,
    fence: BigInt(record.fence),
    validFor: durationFromMs(
      isBeforeCommit.has(step) ? Math.max(1, definition.deadlineMs - (nowMs - intendedAtMs)) : definition.deadlineMs,
    ),
    traceparent: record.traceId === "" ? "" : continueTrace(`00-${record.traceId}-0000000000000001-01`).traceparent,
    action: definition.action({
      record,
      commands: held.commands,
      spec: around.spec,
      minCpuPercent: around.minCpuPercent,
      maxFreezeMs: around.maxFreezeMs,
      targetCapabilities: around.targetCapabilities,
      rates: around.rates,
      nowMs,
    }),
  });
}

const isBeforeCommit: ReadonlySet<StepName> = new Set(["preflight", "prepare", "copy", "freeze", "restore"]);

const outcomes: Partial<Record<CommandOutcome, NonNullable<CommandFact["outcome"]>>> = {
  [CommandOutcome.OK]: "ok",
  [CommandOutcome.FAILED]: "failed",
  [CommandOutcome.REFUSED]: "refused",
  [CommandOutcome.INTERRUPTED]: "interrupted",
};

/** Notes a result. False when it says nothing final, or the command is not one of these, or has its outcome. */
export function noteResult(held: Held, result: CommandResult, nowMs: number): boolean {
  const outcome = outcomes[result.outcome];
  const i = held.commands.findIndex((command) => command.id === result.commandId);
  const command = held.commands[i];
  if (outcome === undefined || command === undefined || command.outcome !== undefined) return false;
  held.commands[i] = { ...command, outcome, finishedAtMs: nowMs, result };
  held.news.add(command.id);
  const ended = new Set(result.phases.map((phase) => phase.name));
  held.livePhases = held.livePhases.filter((phase) => !ended.has(phase.name));
  delete held.liveMemory; // the result has it
  return true;
}

/**
 * The commit as the workload's clients wait for it: from the answer without which it could not be made to the order to resume.
 * @param writeMs of that, what the transaction took
 * @param collectedMs how long this process stood still for garbage since the freeze was ordered
 */
export function commitPhase(commands: readonly CommandFact[], orderedAtMs: number, writeMs: number, collectedMs: number): MigrationPhase {
  const heardAtMs = commands
    .filter(({ step }) => step === "freeze" || step === "restore")
    .reduce((latest, { finishedAtMs = 0 }) => Math.max(latest, finishedAtMs), 0);
  return create(MigrationPhaseSchema, {
    name: "commit",
    nodeId: ownNode,
    startedAt: timestampFromMs(heardAtMs),
    durationMs: Math.max(writeMs, orderedAtMs - heardAtMs),
    outcome: "ok",
    facts: { writeMs: writeMs.toFixed(1), collectedMs: collectedMs.toFixed(1) },
  });
}
