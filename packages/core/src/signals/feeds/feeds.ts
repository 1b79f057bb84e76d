// Provider status feeds: fetched as text that nobody vouches for, read for incidents by region, kept as evidence that fades. They never lead to
// a move on their own (the incident's prior is too small for that), and nothing is fetched unless it is configured.
import { fault } from "@aether/contract";
import { FeedService } from "@aether/contract/gen/aether/v2/feed_pb";
import { FEED_LIMITS, incidentsFrom, parseFeed } from "@aether/risk";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { stamp } from "../../db/proto.ts";
import { createFetches, type Fetches, type FetchesOptions, fetchState, type Source } from "../../fetch/fetches.ts";
import { getDocument } from "../../fetch/http.ts";
import { cutPage, parsePage } from "../../http/page-request.ts";
import type { Part } from "../../part.ts";
import type { FeedsConfig } from "./config.ts";

export interface FeedsOptions extends Omit<FetchesOptions, "kind" | "sources"> {
  readonly config: FeedsConfig;
  readonly incidentHalfLifeSeconds: number;
}

export type Feeds = Part & Fetches;

const dayMs = 86_400_000;
/** Incidents of one feed: a feed that names every region in every item does not fill the table. */
const mostIncidents = 500;

export function createFeeds({ db, config, incidentHalfLifeSeconds, nowMs, log, onFetched = () => undefined }: FeedsOptions): Feeds {
  const limits = {
    timeoutMs: config.timeoutMs,
    mostBytes: FEED_LIMITS.bytes,
    allowPrivateAddresses: config.allowPrivateAddresses,
  };
  const sources = config.sources.map(
    ({ name, url }): Source => ({
      name,
      origin: url,
      everyMs: config.everyMs,
      async fetch(health, signal) {
        const got = await getDocument(url, { ...limits, etag: health.etag, lastModified: health.last_modified }, signal);
        await cutOld();
        if (got.status === "unchanged") return { rowCount: await countOf(name) };
        const feed = parseFeed(got.text);
        if ("refusal" in feed)
          throw fault("UNAVAILABLE", `the feed cannot be read: ${feed.refusal}`, { hint: "Look at the URL in feeds.sources." });
        await keep(name, feed.items);
        return { rowCount: await countOf(name), format: feed.kind, etag: got.etag, lastModified: got.lastModified };
      },
    }),
  );
  const fetches = createFetches({ db, kind: "feed", sources, nowMs, log, onFetched });

  /** The newest word of an item about a region wins; an item that is told again changes nothing. */
  async function keep(feed: string, items: Parameters<typeof incidentsFrom>[0]): Promise<void> {
    const incidents = incidentsFrom(items, nowMs() / 1000, config.keepDays * 86_400).slice(0, mostIncidents);
    if (incidents.length === 0) return;
    await db
      .insertInto("incidents")
      .values(
        incidents.map((each) => ({
          feed,
          item_id: each.id.slice(0, 300),
          region: each.region,
          title: each.title.slice(0, 300),
          last_word_at: new Date(each.lastWordSeconds * 1000),
          is_resolved: each.isResolved,
        })),
      )
      .onConflict((conflict) =>
        conflict
          .columns(["feed", "item_id", "region"])
          .doUpdateSet((eb) => ({
            title: eb.ref("excluded.title"),
            last_word_at: eb.ref("excluded.last_word_at"),
            is_resolved: eb.ref("excluded.is_resolved"),
          }))
          .whereRef("excluded.last_word_at", ">=", "incidents.last_word_at"),
      )
      .execute();
  }

  const cutOld = () =>
    db
      .deleteFrom("incidents")
      .where("last_word_at", "<", new Date(nowMs() - config.keepDays * dayMs))
      .execute();

  async function countOf(feed: string): Promise<number> {
    const row = await db
      .selectFrom("incidents")
      .select(({ fn }) => fn.countAll().as("count"))
      .where("feed", "=", feed)
      .executeTakeFirst();
    return Number(row?.count ?? 0);
  }

  return {
    runDue: fetches.runDue,
    routes: (router) =>
      router.service(FeedService, {
        async listFeeds() {
          const rows = await db.selectFrom("fetches").selectAll().where("kind", "=", "feed").orderBy("name").execute();
          return {
            feeds: rows.map((row) => ({
              name: row.name,
              url: row.origin,
              state: fetchState(row),
              ...stamp("lastSuccessAt", row.last_success_at),
              ...stamp("nextTryAt", row.next_try_at),
              failuresInARow: row.failures_in_a_row,
              error: row.error,
              kind: row.format,
              itemsKept: row.row_count,
            })),
          };
        },
        async listIncidents({ page, region }) {
          if (!/^[a-z0-9-]{0,40}$/.test(region))
            throw fault("INVALID_ARGUMENT", `region is a name such as us-east-1, not ${JSON.stringify(region.slice(0, 60))}`, {
              field: "region",
            });
          const { limit, after } = parsePage(page);
          const offset = Number(after ?? 0);
          if (!Number.isInteger(offset) || offset < 0)
            throw fault("INVALID_ARGUMENT", "page.page_token is not one of ours", { field: "page.page_token" });
          let query = db
            .selectFrom("incidents")
            .selectAll()
            .orderBy("last_word_at", "desc")
            .orderBy("feed")
            .orderBy("item_id")
            .orderBy("region")
            .offset(offset)
            .limit(limit + 1);
          if (region !== "") query = query.where("region", "=", region);
          const { rows, nextPageToken } = cutPage(await query.execute(), limit, () => offset + limit);
          return {
            incidents: rows.map((row) => ({
              id: row.item_id,
              feed: row.feed,
              region: row.region,
              title: row.title,
              lastWordAt: timestampFromDate(row.last_word_at),
              isResolved: row.is_resolved,
              weight: row.is_resolved ? 0 : 0.5 ** (Math.max(0, nowMs() - row.last_word_at.getTime()) / 1000 / incidentHalfLifeSeconds),
            })),
            nextPageToken,
          };
        },
      }),
    async start(signal) {
      // What a feed said that is not configured any more is no evidence any more.
      const names = config.sources.map(({ name }) => name);
      const gone = db.deleteFrom("incidents");
      await (names.length === 0 ? gone : gone.where("feed", "not in", names)).execute();
      await fetches.start(signal);
    },
    stop: fetches.stop,
  };
}
