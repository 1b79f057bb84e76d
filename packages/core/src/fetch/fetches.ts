// Runs what is fetched from outside, each at its own pace: health and the next try are on record, so that neither a restart nor a failing
// source leads to a storm. After a failure the pause doubles, up to six hours; a server's Retry-After is kept to.
import { Fault } from "@aether/contract";
import { type Logger, type Stoppable, sleep } from "@aether/kit";
import type { Db } from "../db/database.ts";
import type { Row } from "../db/schema.ts";

export interface Source {
  readonly name: string;
  /** The URL or endpoint that is read. */
  readonly origin: string;
  readonly everyMs: number;
  /** Fetches and keeps. Must be safe to repeat. Throws what `Fault.from` understands. */
  fetch(health: Row<"fetches">, signal: AbortSignal): Promise<FetchOutcome>;
}

export interface FetchOutcome {
  readonly rowCount?: number;
  readonly format?: string;
  readonly etag?: string;
  readonly lastModified?: string;
}

export interface FetchesOptions {
  readonly db: Db;
  readonly kind: Row<"fetches">["kind"];
  readonly sources: readonly Source[];
  readonly nowMs: () => number;
  readonly log: Logger;
  /** Called when a fetch has brought something. */
  readonly onFetched?: () => void;
}

export interface Fetches extends Stoppable {
  start(signal: AbortSignal): Promise<void>;
  /** Fetches what is due; answers when the next is, in ms from now. */
  runDue(signal: AbortSignal): Promise<number>;
}

const longestPauseMs = 6 * 3_600_000;
/** No fetch takes longer, however many pages and tries it is made of. */
const longestFetchMs = 300_000;
/** A fetch holds its row by a lease that it renews: what a killed process had begun is tried again after so long. */
const leaseMs = 30_000;
const renewMs = 10_000;

export function createFetches({ db, kind, sources, nowMs, log, onFetched }: FetchesOptions): Fetches {
  const stopping = new AbortController();
  let loop: Promise<void> = Promise.resolve();
  const of = (name: string) => ({ kind, name });

  async function enrol(): Promise<void> {
    const names = sources.map(({ name }) => name);
    const rows = db.deleteFrom("fetches").where("kind", "=", kind);
    await (names.length === 0 ? rows : rows.where("name", "not in", names)).execute();
    for (const { name, origin } of sources) {
      const fresh = { origin, next_try_at: new Date(nowMs()), etag: "", last_modified: "", failures_in_a_row: 0, error: "" };
      await db
        .insertInto("fetches")
        .values({ ...of(name), ...fresh })
        // Another address under the same name begins anew.
        .onConflict((conflict) => conflict.columns(["kind", "name"]).doUpdateSet(fresh).where("fetches.origin", "!=", origin))
        .execute();
    }
  }

  /** The row, if it is due: marked before the fetch begins. */
  async function claim(source: Source): Promise<Row<"fetches"> | undefined> {
    return db
      .updateTable("fetches")
      .set({ next_try_at: new Date(nowMs() + leaseMs) })
      .where("kind", "=", kind)
      .where("name", "=", source.name)
      .where("next_try_at", "<=", new Date(nowMs()))
      .returningAll()
      .executeTakeFirst();
  }

  async function run(source: Source, health: Row<"fetches">, signal: AbortSignal): Promise<void> {
    const write = (set: Partial<Omit<Row<"fetches">, "kind" | "name">>) =>
      db.updateTable("fetches").set(set).where("kind", "=", kind).where("name", "=", source.name).execute();
    let lease = health.next_try_at;
    const renewal = setInterval(() => void renew(), renewMs);
    // Only the lease that is known: a renewal that is late must not undo what the end of the fetch has written.
    const renew = async (): Promise<void> => {
      const until = new Date(nowMs() + leaseMs);
      const renewed = db
        .updateTable("fetches")
        .set({ next_try_at: until })
        .where("kind", "=", kind)
        .where("name", "=", source.name)
        .where("next_try_at", "=", lease)
        .executeTakeFirst();
      try {
        if ((await renewed).numUpdatedRows > 0n) lease = until;
      } catch (caught) {
        log.warn({ err: caught, fetch: source.name }, "fetch.lease.failed");
      }
    };
    try {
      const outcome = await source
        .fetch(health, AbortSignal.any([signal, AbortSignal.timeout(longestFetchMs)]))
        .finally(() => clearInterval(renewal));
      await write({
        last_success_at: new Date(nowMs()),
        next_try_at: new Date(nowMs() + source.everyMs),
        failures_in_a_row: 0,
        error: "",
        ...(outcome.rowCount === undefined ? {} : { row_count: outcome.rowCount }),
        ...(outcome.format === undefined ? {} : { format: outcome.format }),
        ...(outcome.etag === undefined ? {} : { etag: outcome.etag }),
        ...(outcome.lastModified === undefined ? {} : { last_modified: outcome.lastModified }),
      });
      onFetched?.();
    } catch (caught) {
      if (signal.aborted) {
        // The next start goes on from here at once.
        await write({ next_try_at: new Date(nowMs()) }).catch(() => undefined);
        return;
      }
      const problem = Fault.from(caught);
      const failures = health.failures_in_a_row + 1;
      const asked = Number(problem.details.retryAfterSeconds ?? 0) * 1000;
      const pause = Math.max(asked, Math.min(longestPauseMs, source.everyMs * 2 ** Math.min(failures, 12)));
      const text = problem.code === "INTERNAL" ? "something went wrong inside: see the log" : `${problem.message}. ${problem.hint}`;
      log.warn({ err: problem, fetch: source.name, failures }, "fetch.failed");
      await write({ next_try_at: new Date(nowMs() + pause), failures_in_a_row: failures, error: text.slice(0, 500) });
    }
  }

  async function runDue(signal: AbortSignal): Promise<number> {
    for (const source of sources) {
      if (signal.aborted) break;
      const health = await claim(source);
      if (health !== undefined) await run(source, health, signal);
    }
    const next = await db
      .selectFrom("fetches")
      .select(({ fn }) => fn.min("next_try_at").as("at"))
      .where("kind", "=", kind)
      .executeTakeFirst();
    return Math.max(100, (next?.at?.getTime() ?? nowMs() + longestPauseMs) - nowMs());
  }

  return {
    runDue,
    async start(outer) {
      const signal = AbortSignal.any([outer, stopping.signal]);
      await enrol();
      if (sources.length === 0) return;
      loop = (async () => {
        while (!signal.aborted) {
          const waitMs = await runDue(signal).catch((caught: unknown) => {
            if (!signal.aborted) log.error({ err: caught, kind }, "fetch.loop.failed");
            return 5_000;
          });
          // A day at most: timers cannot wait longer than 24.8 of them.
          if (!signal.aborted) await sleep(Math.min(waitMs, 86_400_000), signal).catch(() => undefined);
        }
      })();
    },
    async stop() {
      stopping.abort();
      await loop;
    },
  };
}

/** ok | failing | never, as the contract says. */
export const fetchState = (row: Row<"fetches">): "ok" | "failing" | "never" =>
  row.failures_in_a_row > 0 ? "failing" : row.last_success_at === null ? "never" : "ok";
