// Commands and their results on record: written before they leave, kept until nobody asks any more.
import {
  type Command,
  CommandOutcome,
  type CommandResult,
  CommandResultSchema,
  CommandSchema,
} from "@aether/contract/gen/aether/v2/agent_pb";
import type { Db } from "../db/database.ts";
import { fromColumn, toColumn } from "../db/proto.ts";
import type { CommandOutcomeText } from "../db/schema.ts";

const finalOutcomes: Partial<Record<CommandOutcome, CommandOutcomeText>> = {
  [CommandOutcome.OK]: "ok",
  [CommandOutcome.FAILED]: "failed",
  [CommandOutcome.REFUSED]: "refused",
  [CommandOutcome.INTERRUPTED]: "interrupted",
};

/** RUNNING and UNKNOWN are answers to a question, not ends. */
export const isFinal = (result: CommandResult): boolean => finalOutcomes[result.outcome] !== undefined;

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

export function createCommandStore(db: Db): CommandStore {
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
      await db
        .updateTable("commands")
        .set({ outcome, result: toColumn(CommandResultSchema, result), finished_at: new Date() })
        .where("id", "=", result.commandId)
        .where("node_id", "=", nodeId)
        .where("outcome", "is", null)
        .execute();
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
