// Keeps the tables that only grow within bounds. The audit, the journal of migrations, decisions and signals are never cut.
import { type Logger, type Stoppable, sleep } from "@aether/kit";
import { sql } from "kysely";
import type { Db } from "../db/database.ts";
import type { CommandStore } from "../fleet/command-store.ts";
import { keepMs as keepKeysMs } from "../http/idempotency.ts";

export interface RetentionOptions {
  readonly db: Db;
  readonly commands: CommandStore;
  readonly keepDays: number;
  readonly keepCount: number;
  readonly nowMs: () => number;
  readonly log: Logger;
}

const everyMs = 600_000;
/** Results are asked for during a move and right after a restart; a week is for people who look for a cause. */
const keepCommandsMs = 7 * 86_400_000;
const keepOracleSamplesMs = 3_600_000;

export function createRetention({ db, commands, keepDays, keepCount, nowMs, log }: RetentionOptions): Stoppable & {
  start(signal: AbortSignal): Promise<void>;
  cut(): Promise<void>;
} {
  const stopping = new AbortController();
  let loop: Promise<void> = Promise.resolve();
  const before = (ageMs: number) => new Date(nowMs() - ageMs);
  const cut = async () => {
    await db
      .deleteFrom("events")
      .where("at", "<", before(keepDays * 86_400_000))
      .execute();
    await db
      .deleteFrom("events")
      .where("sequence", "<=", (eb) => eb.selectFrom("events").select(sql<number>`max(sequence) - ${keepCount}`.as("limit")))
      .execute();
    await db.deleteFrom("idempotency_keys").where("created_at", "<", before(keepKeysMs)).execute();
    await db.deleteFrom("oracle_samples").where("until", "<", before(keepOracleSamplesMs)).execute();
    await commands.prune(before(keepCommandsMs));
  };
  return {
    cut,
    async start(outer) {
      const signal = AbortSignal.any([outer, stopping.signal]);
      loop = (async () => {
        while (!signal.aborted) {
          await sleep(everyMs, signal).catch(() => undefined);
          if (!signal.aborted) await cut().catch((caught: unknown) => log.error({ err: caught }, "cutting old rows failed"));
        }
      })();
    },
    async stop() {
      stopping.abort();
      await loop;
    },
  };
}
