// The ordered stream of what happened, for people and pages: written in the transaction of the change it tells of, followed by
// sequence. Watchers may lag and resume; they never slow the writer.

import { fault } from "@aether/contract";
import { type Event, EventSchema } from "@aether/contract/gen/aether/v2/common_pb";
import { create, type JsonValue } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { Kysely } from "kysely";
import type { Notices } from "../db/engine.ts";
import type { Database, Row } from "../db/schema.ts";

export interface NewEvent {
  /** Dotted, from the one vocabulary: node.registered, workload.running, migration.step.done, signal.notice, drill.passed. */
  readonly type: string;
  /** node/ID, workload/NAME, migration/ID, drill/ID, snapshot/ID, core. */
  readonly subject: string;
  /** One plain sentence. */
  readonly message: string;
  readonly data?: { readonly [key: string]: JsonValue };
  readonly traceId?: string;
}

export interface Events {
  /**
   * Writes in the given transaction, or by itself with the database. The database numbers events at the commit and wakes the watchers of
   * every process then (sql/0004); a rolled back event is never seen, nor is one overtaken.
   */
  append(db: Kysely<Database>, ...events: readonly NewEvent[]): Promise<void>;
  /**
   * Everything after `after` (0: only what is new), then each new event, until the signal aborts; then it ends without an error.
   * Throws EVENTS_GONE when events after `after` were cut, or `after` is beyond the newest: nobody follows a stream with a hole in it, or one that
   * never comes, without knowing.
   */
  watch(
    options: { after?: number; subject?: string /** It will not refuse any more. */; onBegun?: () => void },
    signal: AbortSignal,
  ): AsyncIterable<Event>;
  /** A page, oldest first, of events after `after`; newest first of those before it, 0 being the end. */
  list(options: { after: number; subject?: string; limit: number; isNewestFirst?: boolean }): Promise<Event[]>;
  /** The sequence of the newest event; 0 when there is none. */
  newest(): Promise<number>;
}

/** How many rows a watcher reads at once. */
const batchSize = 200;

export function createEvents(db: Kysely<Database>, notices: Notices): Events {
  const sleepers = new Set<() => void>();
  const wake = () => {
    for (const sleeper of sleepers) sleeper();
  };
  // Told by the database after each commit, of this process or of another.
  notices.listen("events", wake);

  const list: Events["list"] = async ({ after, subject, limit, isNewestFirst = false }) => {
    let query = db
      .selectFrom("events")
      .selectAll()
      .orderBy("sequence", isNewestFirst ? "desc" : "asc")
      .limit(limit);
    if (!isNewestFirst) query = query.where("sequence", ">", after);
    else if (after > 0) query = query.where("sequence", "<", after);
    if (subject !== undefined && subject !== "") query = query.where("subject", "=", subject);
    return (await query.execute()).map(toEvent);
  };

  const newest: Events["newest"] = async () => {
    const row = await db
      .selectFrom("events")
      .select(({ fn }) => fn.max("sequence").as("newest"))
      .executeTakeFirst();
    return Number(row?.newest ?? 0);
  };

  /** After the reading: the mark is set before rows go, so what was read until then is whole. */
  const refuseIfCut = async (after: number) => {
    const { through } = await db.selectFrom("events_cut").select("through").executeTakeFirstOrThrow();
    if (after >= through) return;
    throw fault("EVENTS_GONE", `events up to ${through} are not kept any more; ${after} is too old to go on from`, {
      field: "after",
      details: { keptAfter: String(through) },
    });
  };

  return {
    list,
    newest,
    async append(target, ...events) {
      if (events.length === 0) return;
      await target
        .insertInto("events")
        .values(
          events.map((event) => ({
            type: event.type,
            subject: event.subject,
            message: event.message,
            data: JSON.stringify(event.data ?? {}),
            trace_id: event.traceId ?? "",
          })),
        )
        .execute();
    },
    async *watch({ after = 0, subject, onBegun }, signal) {
      const end = await newest();
      if (after > end) {
        const message = `the newest event is ${end}: ${after} belongs to another control plane, or to one before a restore`;
        throw fault("EVENTS_GONE", message, { field: "after", details: { newest: String(end) } });
      }
      let last = after > 0 ? after : end;
      let isCaughtUp = false;
      let isWoken = false;
      let resume = () => {};
      const sleeper = () => {
        isWoken = true;
        resume();
      };
      sleepers.add(sleeper);
      signal.addEventListener("abort", sleeper, { once: true });
      try {
        while (!signal.aborted) {
          isWoken = false;
          const page = await list({ after: last, limit: batchSize, ...(subject === undefined ? {} : { subject }) });
          if (!isCaughtUp) await refuseIfCut(last);
          isCaughtUp = page.length < batchSize;
          onBegun?.();
          for (const event of page) {
            yield event;
            last = Number(event.sequence);
          }
          if (page.length === batchSize || isWoken || signal.aborted) continue;
          await new Promise<void>((resolve) => {
            resume = resolve;
          });
        }
      } finally {
        sleepers.delete(sleeper);
        signal.removeEventListener("abort", sleeper);
      }
    },
  };
}

function toEvent(row: Row<"events">): Event {
  return create(EventSchema, {
    sequence: BigInt(row.sequence),
    at: timestampFromDate(row.at),
    type: row.type,
    subject: row.subject,
    message: row.message,
    dataJson: JSON.stringify(row.data),
    traceId: row.trace_id,
  });
}
