// Commands and their results on record: written before they leave, kept until nobody asks any more.
import {
  type Command,
  CommandOutcome,
  type CommandResult,
  CommandResultSchema,
  CommandSchema,
} from "@aether/contract/gen/aether/v2/agent_pb";
import { type JsonValue, toJson } from "@bufbuild/protobuf";
import { sql } from "kysely";
import type { Db } from "../db/database.ts";
import { createGroup } from "../db/group.ts";
import { fromColumn, toColumn } from "../db/proto.ts";
import type { CommandOutcomeText } from "../db/tables/fleet.ts";

const finalOutcomes: Partial<Record<CommandOutcome, CommandOutcomeText>> = {
  [CommandOutcome.OK]: "ok",
  [CommandOutcome.FAILED]: "failed",
  [CommandOutcome.REFUSED]: "refused",
  [CommandOutcome.INTERRUPTED]: "interrupted",
};

const endedAtOnce = 64;

/** As it is put on record; undefined: RUNNING and UNKNOWN are answers to a question, not ends. */
export const outcomeOf = (result: CommandResult): CommandOutcomeText | undefined => finalOutcomes[result.outcome];
export const isFinal = (result: CommandResult): boolean => outcomeOf(result) !== undefined;

export interface CommandStore {
  /** Answers true if it was not on record yet. */
  add(nodeId: string, command: Command): Promise<boolean>;
  /** The kept result; undefined when there is none yet. */
  result(commandId: string): Promise<CommandResult | undefined>;
  /** Keeps a final result; the first one counts. Answers false when the command is not on record. */
  finish(nodeId: string, result: CommandResult): Promise<boolean>;
  /** Forgets finished commands that are older than this. */
  prune(before: Date): Promise<void>;
}

interface Ended {
  readonly id: string;
  readonly node_id: string;
  readonly outcome: CommandOutcomeText;
  readonly result: JsonValue;
}

export function createCommandStore(db: Db): CommandStore {
  /** Many moves end steps at once. Answers for each whether it was on record and without an end. */
  const keep = createGroup(async (ended: readonly Ended[]) => {
    const { rows } = await sql<{ id: string; node_id: string }>`
      update commands set outcome = ended.outcome, result = ended.result, finished_at = now()
      from jsonb_to_recordset(${JSON.stringify(ended)}::jsonb) as ended(id text, node_id text, outcome text, result jsonb)
      where commands.id = ended.id and commands.node_id = ended.node_id and commands.outcome is null
      returning commands.id, commands.node_id`.execute(db);
    const kept = new Set(rows.map((row) => `${row.node_id} ${row.id}`));
    return ended.map(({ node_id, id }) => kept.has(`${node_id} ${id}`));
  }, endedAtOnce);
  return {
    async add(nodeId, command) {
      const row = await db
        .insertInto("commands")
        .values({
          id: command.id,
          node_id: nodeId,
          workload: command.workload,
          migration_id: command.migrationId === "" ? null : command.migrationId,
          action: command.action.case ?? "",
          request: toColumn(CommandSchema, command),
        })
        .onConflict((conflict) => conflict.column("id").doNothing())
        .returning("id")
        .executeTakeFirst();
      return row !== undefined;
    },
    async result(commandId) {
      const row = await db
        .selectFrom("commands")
        .select("result")
        .where("id", "=", commandId)
        .where("outcome", "is not", null)
        .executeTakeFirst();
      return row === undefined || row.result === null ? undefined : fromColumn(CommandResultSchema, row.result);
    },
    async finish(nodeId, result) {
      const outcome = finalOutcomes[result.outcome];
      if (outcome === undefined) return true;
      if (await keep({ id: result.commandId, node_id: nodeId, outcome, result: toJson(CommandResultSchema, result) })) return true;
      const row = await db
        .selectFrom("commands")
        .select("id")
        .where("id", "=", result.commandId)
        .where("node_id", "=", nodeId)
        .executeTakeFirst();
      return row !== undefined;
    },
    async prune(before) {
      await db.deleteFrom("commands").where("outcome", "is not", null).where("finished_at", "<", before).execute();
    },
  };
}
