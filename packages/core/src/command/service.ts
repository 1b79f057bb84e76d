// CommandService: what the agents were told, and one low-level way to ask for an act. Whatever is asked goes the way that it always goes: this is a
// door, not another path.
import { fault, parseWorkloadName } from "@aether/contract";
import { type CommandResult, CommandResultSchema, CommandSchema } from "@aether/contract/gen/aether/v2/agent_pb";
import {
  type CommandRecord,
  CommandRecordSchema,
  CommandService,
  type QueueCommandRequest,
  type QueueCommandResponse,
  QueueCommandResponseSchema,
  QueuedAction,
} from "@aether/contract/gen/aether/v2/command_pb";
import { MigrationService } from "@aether/contract/gen/aether/v2/migration_pb";
import { SnapshotService } from "@aether/contract/gen/aether/v2/snapshot_pb";
import { WorkloadService } from "@aether/contract/gen/aether/v2/workload_pb";
import { sleep } from "@aether/kit";
import { create, type JsonValue, toJson } from "@bufbuild/protobuf";
import { durationFromMs, durationMs } from "@bufbuild/protobuf/wkt";
import type { ConnectRouter, HandlerContext } from "@connectrpc/connect";
import type { Db } from "../db/database.ts";
import { fromColumn, fromColumnOrNone, stamp } from "../db/proto.ts";
import type { Row } from "../db/schema.ts";
import { outcomeOf } from "../fleet/command-store.ts";
import type { AgentSessions } from "../fleet/sessions.ts";
import { callerOf } from "../http/caller.ts";
import type { OwnCall } from "../http/own-call.ts";
import { cutPage, parsePage } from "../http/page-request.ts";
import { newId } from "../ids.ts";
import { requireWorkload } from "../workload/store.ts";

export interface CommandOptions {
  readonly db: Db;
  readonly sessions: AgentSessions;
  readonly call: OwnCall;
}

const preflightMs = 60_000;
/** The node's word is waited for so long; without it the record says that the command waits. */
const cancelMs = 5_000;

export function commandRoutes(options: CommandOptions): (router: ConnectRouter) => void {
  const { db } = options;
  const read = async (id: string) => {
    const row = await db.selectFrom("commands").selectAll().where("id", "=", id).executeTakeFirst();
    if (row !== undefined) return row;
    throw fault("COMMAND_NOT_FOUND", `there is no command ${JSON.stringify(id.slice(0, 60))}`, { field: "id" });
  };
  return (router) => {
    router.service(CommandService, {
      queueCommand: (request, context) => queue(options, request, context),
      async listCommands({ page, nodeId, workload }) {
        const { limit, after } = parsePage(page);
        let query = db
          .selectFrom("commands")
          .selectAll()
          .orderBy("created_at", "desc")
          .orderBy("id", "desc")
          .limit(limit + 1);
        if (nodeId !== "") query = query.where("node_id", "=", nodeId);
        if (workload !== "") query = query.where("workload", "=", workload);
        if (after !== undefined) {
          const last = await db.selectFrom("commands").select(["created_at", "id"]).where("id", "=", after).executeTakeFirst();
          if (last === undefined) return { commands: [], nextPageToken: "" };
          query = query.where(({ eb, refTuple, tuple }) => eb(refTuple("created_at", "id"), "<", tuple(last.created_at, last.id)));
        }
        const { rows, nextPageToken } = cutPage(await query.execute(), limit, ({ id }) => id);
        return { commands: rows.map(toRecord), nextPageToken };
      },
      getCommand: async ({ id }) => ({ command: toRecord(await read(id)) }),
      cancelCommand: ({ id }, context) => cancel(options, id, context),
    });
  };

  async function cancel({ sessions, call }: CommandOptions, id: string, context: HandlerContext) {
    const { outcome, migration_id: migrationId, node_id: nodeId } = await read(id);
    if (outcome !== null) throw fault("COMMAND_ENDED", `${id} has ended: ${outcome}`, { field: "id" });
    if (migrationId !== null) await call(MigrationService.method.cancelMigration, { id: migrationId }, context);
    else {
      if (!sessions.isConnected(nodeId)) throw fault("NODE_NOT_CONNECTED", `${nodeId}, which has the command, has no session`);
      sessions.cancel(nodeId, id);
      const signal = AbortSignal.any([context.signal, AbortSignal.timeout(cancelMs)]);
      const result = await ended(sessions, nodeId, id, signal).catch(() => undefined); // then it is told as it is on record
      return { command: toRecord(withResult(await read(id), result)) };
    }
    return { command: toRecord(await read(id)) };
  }

  async function queue(
    { sessions, call }: CommandOptions,
    { workload: name, action, targetNodeId, graceSeconds }: QueueCommandRequest,
    context: HandlerContext,
  ): Promise<QueueCommandResponse> {
    const workload = parseWorkloadName(name, "workload");
    switch (action) {
      case QueuedAction.MIGRATE: {
        const { migration } = await call(MigrationService.method.startMigration, { workload, targetNodeId }, context);
        return create(QueueCommandResponseSchema, {
          migrationId: migration?.id ?? "",
          ...(migration?.deadlineAt === undefined ? {} : { expiresAt: migration.deadlineAt }),
        });
      }
      case QueuedAction.SNAPSHOT: {
        const { snapshot } = await call(SnapshotService.method.createSnapshot, { workload }, context);
        return create(QueueCommandResponseSchema, { snapshotId: snapshot?.id ?? "" });
      }
      case QueuedAction.STOP:
        await call(WorkloadService.method.stopWorkload, { name: workload, graceSeconds }, context);
        return create(QueueCommandResponseSchema);
      case QueuedAction.PREFLIGHT: {
        const { node_id: nodeId, epoch } = await requireWorkload(db, workload, "workload");
        if (nodeId === null || epoch === null) throw fault("WORKLOAD_NOT_RUNNING", `${workload} is on no node`, { field: "workload" });
        const id = newId("cmd");
        const { traceparent } = callerOf(context);
        const what = { case: "preflight" as const, value: {} };
        const command = { id, workload, epoch: BigInt(epoch), traceparent, validFor: durationFromMs(preflightMs), action: what };
        const result = await sessions.send(nodeId, command, AbortSignal.any([context.signal, AbortSignal.timeout(preflightMs)]));
        return create(QueueCommandResponseSchema, { command: toRecord(withResult(await read(id), result)) });
      }
      default:
        throw fault("INVALID_ARGUMENT", "action must be MIGRATE, SNAPSHOT, STOP or PREFLIGHT", { field: "action" });
    }
  }
}

/** Asks until it is over: RUNNING is an answer too. */
async function ended(sessions: AgentSessions, nodeId: string, id: string, signal: AbortSignal): Promise<CommandResult> {
  for (;;) {
    const result = await sessions.query(nodeId, id, signal);
    if (outcomeOf(result) !== undefined) return result;
    await sleep(100, signal);
  }
}

/** An answer is told before it is on record. */
function withResult(row: Row<"commands">, result: CommandResult | undefined): Row<"commands"> {
  const outcome = result && outcomeOf(result);
  if (row.outcome !== null || result === undefined || outcome === undefined) return row;
  return { ...row, outcome, result: toJson(CommandResultSchema, result) as JsonValue, finished_at: new Date() };
}

function toRecord(row: Row<"commands">): CommandRecord {
  const command = fromColumn(CommandSchema, row.request);
  const error = fromColumnOrNone(CommandResultSchema, row.result)?.error;
  const expiresAt = command.validFor === undefined ? null : new Date(row.created_at.getTime() + durationMs(command.validFor));
  return create(CommandRecordSchema, {
    id: row.id,
    nodeId: row.node_id,
    workload: row.workload,
    migrationId: row.migration_id ?? "",
    action: row.action,
    outcome: row.outcome ?? "waiting",
    ...(error === undefined ? {} : { error }),
    ...stamp("createdAt", row.created_at),
    ...stamp("finishedAt", row.finished_at),
    ...stamp("expiresAt", expiresAt),
  });
}
