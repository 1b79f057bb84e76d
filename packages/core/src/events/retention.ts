// Keeps the tables that only grow within bounds. The audit, the journal of migrations, decisions and signals are never cut.
import { createPause, type Logger, type Stoppable } from "@aether/kit";
import type { Db } from "../db/database.ts";
import { vacuumAll } from "../db/vacuum.ts";
import type { CommandStore } from "../fleet/command-store.ts";
import { keepMs as keepKeysMs } from "../http/idempotency.ts";

export interface RetentionOptions {
  readonly db: Db;
  /** The database makes no room by itself: the embedded one. */
  readonly needsVacuum: boolean;
  readonly commands: CommandStore;
  /** Asked at each cut. */
  readonly keep: () => {
    /** Of events. */
    readonly days: number;
    readonly count: number;
    readonly runbookRunsDays: number;
  };
  readonly nowMs: () => number;
  readonly log: Logger;
}

const everyMs = 600_000;
/** Results are asked for during a move and right after a restart; a week is for people who look for a cause. */
const keepCommandsMs = 7 * 86_400_000;
const keepOracleSamplesMs = 3_600_000;

export function createRetention({ db, needsVacuum, commands, keep, nowMs, log }: RetentionOptions): Stoppable & {
  start(signal: AbortSignal): Promise<void>;
  cut(): Promise<void>;
  /** What is kept has changed: the next cut is now. */
  wake(): void;
} {
  const stopping = new AbortController();
  const pause = createPause();
  let loop: Promise<void> = Promise.resolve();
  const before = (ageMs: number) => new Date(nowMs() - ageMs);
  /** The mark first: who resumes from before it is told, also if this ends in the middle. */
  const cutEvents = async () => {
    const { days: keepDays, count: keepCount } = keep();
    const oldest = await db
      .selectFrom("events")
      .select(({ fn }) => fn.max("sequence").as("newest"))
      .select((eb) =>
        eb
          .selectFrom("events as old")
          .select(({ fn }) => fn.max("old.sequence").as("through"))
          .where("old.at", "<", before(keepDays * 86_400_000))
          .as("aged"),
      )
      .executeTakeFirst();
    const through = Math.max(Number(oldest?.newest ?? 0) - keepCount, Number(oldest?.aged ?? 0));
    if (through <= 0) return;
    await db.updateTable("events_cut").set({ through }).where("through", "<", through).execute();
    await db.deleteFrom("events").where("sequence", "<=", through).execute();
  };
  /** Never one under way, and never the newest of a runbook: when it was run last can always be told. */
  const cutRuns = async () => {
    await db
      .deleteFrom("runbook_runs as run")
      .where("run.ended_at", "<", before(keep().runbookRunsDays * 86_400_000))
      .where(({ exists, selectFrom }) =>
        exists(
          selectFrom("runbook_runs as newer")
            .select("newer.id")
            .whereRef("newer.runbook", "=", "run.runbook")
            .whereRef("newer.id", ">", "run.id"),
        ),
      )
      .execute();
  };
  const cut = async () => {
    await cutEvents();
    await cutRuns();
    await db.deleteFrom("idempotency_keys").where("created_at", "<", before(keepKeysMs)).execute();
    await db.deleteFrom("oracle_samples").where("until", "<", before(keepOracleSamplesMs)).execute();
    await commands.prune(before(keepCommandsMs));
  };
  return {
    cut,
    wake: pause.end,
    async start(outer) {
      const signal = AbortSignal.any([outer, stopping.signal]);
      loop = (async () => {
        while (!signal.aborted) {
          await pause.wait(everyMs, signal);
          if (!signal.aborted) await cut().catch((caught: unknown) => log.error({ err: caught }, "cutting old rows failed"));
          if (needsVacuum && !signal.aborted)
            await vacuumAll(db, signal).catch((caught: unknown) => log.error({ err: caught }, "making room in the database failed"));
        }
      })();
    },
    async stop() {
      stopping.abort();
      await loop;
    },
  };
}
