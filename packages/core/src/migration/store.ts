// Migrations as rows: how a record is read, written for the first time, and shown. What changes a record later is journal.ts.
import { CommandResultSchema } from "@aether/contract/gen/aether/v2/agent_pb";
import { ErrorDetailSchema } from "@aether/contract/gen/aether/v2/common_pb";
import { type MemoryCopy, MemoryCopySchema } from "@aether/contract/gen/aether/v2/memory_pb";
import {
  type Migration,
  type MigrationPhase,
  MigrationPhaseSchema,
  MigrationSchema,
  MigrationState,
  ReceiptSchema,
} from "@aether/contract/gen/aether/v2/migration_pb";
import { type TargetScore, TargetScoreSchema } from "@aether/contract/gen/aether/v2/signal_pb";
import { create, fromJson, type JsonObject, type JsonValue, toJson } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { type Kysely, sql } from "kysely";
import { z } from "zod";
import { fromColumn, fromColumnOrNone, stamp } from "../db/proto.ts";
import type { Database, NewRow, Row } from "../db/schema.ts";
import type { Events } from "../events/events.ts";
import { modeToProto } from "./mode.ts";
import { type CommandFact, type MigrationRecord, type Mode, ownNode, type Problem, type State, stepNames } from "./state.ts";
import { waitPhases } from "./waits.ts";

/** What has no column of its own. */
const factsColumn = z.object({
  stateAtMs: z.number().optional(),
  committedAtMs: z.number().optional(),
  resumedAtMs: z.number().optional(),
  debts: z.array(z.enum(["abort", "thaw", "release"])).default([]),
  memory: z.json().optional(),
});

const planColumn = z.object({ priority: z.number().catch(0), order: z.number().catch(0) }).catch({ priority: 0, order: 0 });

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
    ...planColumn.parse(row.plan),
    error: row.error === null ? undefined : toProblem(row.error),
    debts: facts.debts,
    memory: facts.memory,
    ownPhases: readPhases(row, ownNode),
  };
}

function toProblem(column: JsonValue): Problem {
  const { code, message, hint, details } = problemColumn.parse(column);
  return { code, message, ...(hint === undefined ? {} : { hint }), ...(details === undefined ? {} : { details }) };
}

/** @param memory where it is newer than what the record has. */
export const factsColumnOf = (record: MigrationRecord, memory?: MemoryCopy): string =>
  JSON.stringify({
    memory: memory === undefined ? record.memory : toJson(MemoryCopySchema, memory),
    stateAtMs: record.stateAtMs,
    committedAtMs: record.committedAtMs,
    resumedAtMs: record.resumedAtMs,
    debts: record.debts,
  });

/** The commands of a migration in the order of their intents, with what is known of each. */
export const readCommands = async (db: Kysely<Database>, migrationId: string): Promise<CommandFact[]> =>
  (await readCommandsOfAll(db, [migrationId])).get(migrationId) ?? [];

/** The same of several. */
export async function readCommandsOfAll(db: Kysely<Database>, migrationIds: readonly string[]): Promise<Map<string, CommandFact[]>> {
  if (migrationIds.length === 0) return new Map();
  const rows = await db
    .selectFrom("commands")
    .selectAll()
    .where("migration_id", "in", migrationIds)
    .orderBy("created_at")
    .orderBy("id")
    .execute();
  const of = new Map<string, CommandFact[]>(migrationIds.map((id) => [id, []]));
  for (const row of rows) of.get(row.migration_id ?? "")?.push(...factOf(row));
  return of;
}

/** None for a command that is no step. */
function factOf(row: Row<"commands">): CommandFact[] {
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
}

/** What both nodes and core itself measured so far, in the order in which it began. */
export function phasesOf(
  commands: readonly CommandFact[],
  nodeOfCommand: (command: CommandFact) => string,
  own: readonly MigrationPhase[] = [],
): MigrationPhase[] {
  const told = commands.flatMap((command) =>
    (command.result?.phases ?? []).map((phase) => (phase.nodeId === "" ? { ...phase, nodeId: nodeOfCommand(command) } : phase)),
  );
  return [...told, ...own, ...waitPhases(commands, nodeOfCommand, own)].sort(
    (a, b) => Number((a.startedAt?.seconds ?? 0n) - (b.startedAt?.seconds ?? 0n)) || (a.startedAt?.nanos ?? 0) - (b.startedAt?.nanos ?? 0),
  );
}

const isJsonObject = (value: JsonValue): value is JsonObject => typeof value === "object" && value !== null && !Array.isArray(value);

/** @param nodeId of this one only */
const readPhases = ({ phases }: Row<"migrations">, nodeId?: string): MigrationPhase[] =>
  (Array.isArray(phases) ? phases : [])
    .filter((phase) => nodeId === undefined || (isJsonObject(phase) && phase.nodeId === nodeId))
    .map((phase) => fromJson(MigrationPhaseSchema, phase, { ignoreUnknownFields: true }));

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
  /** The candidates that were looked at (ProtoJSON of TargetScore), and where in its plan it stands. */
  readonly plan?: { readonly [key: string]: JsonValue };
}

/**
 * Puts moves on record, as planned, and their workloads under them, in the caller's transaction. A second open move of the same workload is
 * refused by the unique index `migrations_one_active`: the caller decides what that means.
 */
export async function insertMigrations(tx: Kysely<Database>, events: Events, made: readonly NewMigration[], nowMs: number): Promise<void> {
  if (made.length === 0) return;
  const at = new Date(nowMs);
  const rows = made.map(
    (each, order): NewRow<"migrations"> => ({
      id: each.id,
      workload: each.workload,
      source_node_id: each.sourceNodeId,
      target_node_id: each.targetNodeId,
      state: "planned",
      requested_mode: each.requestedMode,
      epoch_before: each.epochBefore,
      cause: each.cause,
      drill_id: each.drillId ?? null,
      trace_id: each.traceId,
      plan: JSON.stringify({ ...each.plan, order }),
      facts: JSON.stringify({ stateAtMs: nowMs, debts: [] }),
      created_at: at,
      updated_at: at,
      deadline_at: each.deadlineAtMs === undefined ? null : new Date(each.deadlineAtMs),
    }),
  );
  await tx.insertInto("migrations").values(rows).execute();
  const ids = made.map(({ id }) => id);
  // What the certificate says now is what this move will be measured against.
  await tx
    .updateTable("migrations")
    .from("certificates")
    .set({ plan: sql<string>`migrations.plan || jsonb_build_object('predicted', certificates.predicted)` })
    .whereRef("certificates.workload", "=", "migrations.workload")
    .where("migrations.id", "in", ids)
    .execute();
  await tx
    .updateTable("workloads")
    .from("migrations")
    .set((eb) => ({ state: "migrating" as const, migration_id: eb.ref("migrations.id"), reason: "" }))
    .whereRef("migrations.workload", "=", "workloads.name")
    .where("migrations.id", "in", ids)
    .execute();
  await events.append(
    tx,
    ...made.map((each) => ({
      type: "migration.planned",
      subject: `migration/${each.id}`,
      message: `${each.workload} moves from ${each.sourceNodeId} to ${each.targetNodeId}`,
      data: { workload: each.workload, sourceNodeId: each.sourceNodeId, targetNodeId: each.targetNodeId, cause: each.cause },
      traceId: each.traceId,
    })),
  );
}

const candidates = z.object({ candidates: z.array(z.json()) }).catch({ candidates: [] });
const decidedMoves = z.array(z.object({ migrationId: z.string().catch(""), candidates: z.array(z.json()).catch([]) })).catch([]);

/** The targets that were looked at when it was begun: they are with the move, or with the decision that began it. */
export async function readCandidates(db: Kysely<Database>, row: Row<"migrations">): Promise<TargetScore[]> {
  const own = candidates.parse(row.plan).candidates;
  const [kind, id = ""] = row.cause.split("/");
  const decision =
    own.length > 0 || kind !== "decision"
      ? undefined
      : await db.selectFrom("decisions").select("moves").where("id", "=", id).executeTakeFirst();
  const decided = decidedMoves.parse(decision?.moves ?? []).find((move) => move.migrationId === row.id);
  return [...own, ...(decided?.candidates ?? [])].map((each) => fromJson(TargetScoreSchema, each, { ignoreUnknownFields: true }));
}

const stateToProto = (state: State): MigrationState => MigrationState[state.toUpperCase() as Uppercase<State>];

/** For people and programs. `live`: phases that are known before the command that they belong to has answered. */
export function toMigration(row: Row<"migrations">, live: readonly MigrationPhase[] = [], liveMemory?: MemoryCopy): Migration {
  const record = toRecord(row);
  const phases = readPhases(row);
  const memory =
    liveMemory ?? (record.memory === undefined ? undefined : fromJson(MemoryCopySchema, record.memory, { ignoreUnknownFields: true }));
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
    ...(row.receipt === null ? {} : { receipt: { ...fromColumn(ReceiptSchema, row.receipt), statements: [], leaves: [], phases: [] } }),
    ...(memory === undefined ? {} : { memory }),
    traceId: record.traceId,
    drillId: record.drillId ?? "",
  });
}
