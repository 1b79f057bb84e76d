// Migrations as rows: how a record is read, written for the first time, and shown. What changes a record later is journal.ts.
import { CommandResultSchema } from "@aether/contract/gen/aether/v2/agent_pb";
import { ErrorDetailSchema } from "@aether/contract/gen/aether/v2/common_pb";
import {
  type Migration,
  type MigrationPhase,
  MigrationPhaseSchema,
  MigrationSchema,
  MigrationState,
  ReceiptSchema,
} from "@aether/contract/gen/aether/v2/migration_pb";
import { create, fromJson, type JsonValue, toJson } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { type Kysely, sql } from "kysely";
import { z } from "zod";
import { fromColumn, fromColumnOrNone, stamp } from "../db/proto.ts";
import type { Database, NewRow, Row } from "../db/schema.ts";
import type { Events } from "../events/events.ts";
import { modeToProto } from "./mode.ts";
import { type CommandFact, type MigrationRecord, type Mode, type Problem, type State, stepNames } from "./state.ts";

/** What has no column of its own. */
const factsColumn = z.object({
  stateAtMs: z.number().optional(),
  committedAtMs: z.number().optional(),
  resumedAtMs: z.number().optional(),
  debts: z.array(z.enum(["abort", "thaw", "release"])).default([]),
});

const problemColumn = z.object({
  code: z.string(),
  message: z.string(),
  hint: z.string().optional(),
  details: z.record(z.string(), z.string()).optional(),
});

export function toRecord(row: Row<"migrations">): MigrationRecord {
  const facts = factsColumn.parse(row.facts);
  return {
    id: row.id,
    workload: row.workload,
    sourceNodeId: row.source_node_id,
    targetNodeId: row.target_node_id,
    state: row.state,
    requestedMode: row.requested_mode,
    mode: row.mode,
    epochBefore: Number(row.epoch_before),
    cause: row.cause,
    drillId: row.drill_id ?? undefined,
    traceId: row.trace_id,
    fence: Number(row.fence),
    isCancelRequested: row.is_cancel_requested,
    createdAtMs: row.created_at.getTime(),
    stateAtMs: facts.stateAtMs ?? row.created_at.getTime(),
    deadlineAtMs: row.deadline_at?.getTime(),
    committedAtMs: facts.committedAtMs,
    resumedAtMs: facts.resumedAtMs,
    endedAtMs: row.ended_at?.getTime(),
    error: row.error === null ? undefined : toProblem(row.error),
    debts: facts.debts,
  };
}

function toProblem(column: JsonValue): Problem {
  const { code, message, hint, details } = problemColumn.parse(column);
  return { code, message, ...(hint === undefined ? {} : { hint }), ...(details === undefined ? {} : { details }) };
}

export const factsColumnOf = (record: MigrationRecord): string =>
  JSON.stringify({
    stateAtMs: record.stateAtMs,
    committedAtMs: record.committedAtMs,
    resumedAtMs: record.resumedAtMs,
    debts: record.debts,
  });

/** The commands of a migration in the order of their intents, with what is known of each. */
export async function readCommands(db: Kysely<Database>, migrationId: string): Promise<CommandFact[]> {
  const rows = await db
    .selectFrom("commands")
    .selectAll()
    .where("migration_id", "=", migrationId)
    .orderBy("created_at")
    .orderBy("id")
    .execute();
  return rows.flatMap((row) => {
    const step = stepNames.find((name) => name === row.action);
    if (step === undefined) return [];
    const intended = { id: row.id, step, intendedAtMs: row.created_at.getTime() };
    if (row.outcome === null || row.outcome === "unknown") return [intended];
    const result = fromColumnOrNone(CommandResultSchema, row.result);
    return [
      {
        ...intended,
        outcome: row.outcome,
        finishedAtMs: (row.finished_at ?? row.created_at).getTime(),
        ...(result === undefined ? {} : { result }),
      },
    ];
  });
}

/** What both nodes measured so far, in the order in which it began. */
export function phasesOf(commands: readonly CommandFact[], nodeOfCommand: (command: CommandFact) => string): MigrationPhase[] {
  return commands
    .flatMap((command) =>
      (command.result?.phases ?? []).map((phase) => (phase.nodeId === "" ? { ...phase, nodeId: nodeOfCommand(command) } : phase)),
    )
    .sort(
      (a, b) =>
        Number((a.startedAt?.seconds ?? 0n) - (b.startedAt?.seconds ?? 0n)) || (a.startedAt?.nanos ?? 0) - (b.startedAt?.nanos ?? 0),
    );
}

export const phasesColumn = (phases: readonly MigrationPhase[]): string =>
  JSON.stringify(phases.map((phase) => toJson(MigrationPhaseSchema, phase)));

export interface NewMigration {
  readonly id: string;
  readonly workload: string;
  readonly sourceNodeId: string;
  readonly targetNodeId: string;
  readonly requestedMode: Mode;
  readonly epochBefore: number;
  /** operator | decision/ID */
  readonly cause: string;
  readonly drillId?: string;
  readonly traceId: string;
  readonly deadlineAtMs?: number;
  /** The candidates that were looked at; ProtoJSON of TargetScore. */
  readonly plan?: JsonValue;
}

/**
 * Puts a move on record, as planned, and the workload under it, in the caller's transaction. A second open move of the same workload is
 * refused by the unique index `migrations_one_active`: the caller decides what that means.
 */
export async function insertMigration(tx: Kysely<Database>, events: Events, made: NewMigration, nowMs: number): Promise<void> {
  const row: NewRow<"migrations"> = {
    id: made.id,
    workload: made.workload,
    source_node_id: made.sourceNodeId,
    target_node_id: made.targetNodeId,
    state: "planned",
    requested_mode: made.requestedMode,
    epoch_before: made.epochBefore,
    cause: made.cause,
    drill_id: made.drillId ?? null,
    trace_id: made.traceId,
    plan: JSON.stringify(made.plan ?? {}),
    facts: JSON.stringify({ stateAtMs: nowMs, debts: [] }),
    created_at: new Date(nowMs),
    updated_at: new Date(nowMs),
    deadline_at: made.deadlineAtMs === undefined ? null : new Date(made.deadlineAtMs),
  };
  await tx.insertInto("migrations").values(row).execute();
  // What the certificate says now is what this move will be measured against.
  await sql`update migrations set plan = plan || jsonb_build_object('predicted', predicted) from certificates
    where migrations.id = ${made.id} and certificates.workload = ${made.workload}`.execute(tx);
  await tx
    .updateTable("workloads")
    .set({ state: "migrating", migration_id: made.id, reason: "" })
    .where("name", "=", made.workload)
    .execute();
  await events.append(tx, {
    type: "migration.planned",
    subject: `migration/${made.id}`,
    message: `${made.workload} moves from ${made.sourceNodeId} to ${made.targetNodeId}`,
    data: { workload: made.workload, sourceNodeId: made.sourceNodeId, targetNodeId: made.targetNodeId, cause: made.cause },
    traceId: made.traceId,
  });
}

const stateToProto = (state: State): MigrationState => MigrationState[state.toUpperCase() as Uppercase<State>];

/** For people and programs. `live`: phases that are known before the command that they belong to has answered. */
export function toMigration(row: Row<"migrations">, live: readonly MigrationPhase[] = []): Migration {
  const record = toRecord(row);
  const phases = z
    .array(z.json())
    .catch([])
    .parse(row.phases)
    .map((phase) => fromJson(MigrationPhaseSchema, phase, { ignoreUnknownFields: true }));
  const known = new Set(phases.map((phase) => `${phase.nodeId}/${phase.name}`));
  return create(MigrationSchema, {
    id: record.id,
    workload: record.workload,
    sourceNodeId: record.sourceNodeId,
    targetNodeId: record.targetNodeId,
    state: stateToProto(record.state),
    requestedMode: modeToProto(record.requestedMode),
    mode: modeToProto(record.mode),
    epochBefore: BigInt(record.epochBefore),
    epochAfter: BigInt(record.committedAtMs === undefined ? 0 : record.epochBefore + 1),
    createdAt: timestampFromMs(record.createdAtMs),
    ...stamp("endedAt", row.ended_at),
    ...stamp("deadlineAt", row.deadline_at),
    cause: record.cause,
    ...(record.error === undefined ? {} : { error: create(ErrorDetailSchema, { ...record.error, traceId: record.traceId }) }),
    phases: [...phases, ...live.filter((phase) => !known.has(`${phase.nodeId}/${phase.name}`))],
    ...(row.receipt === null ? {} : { receipt: fromColumn(ReceiptSchema, row.receipt) }),
    traceId: record.traceId,
    drillId: record.drillId ?? "",
  });
}
