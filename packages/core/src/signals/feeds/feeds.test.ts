// Feeds against a server on this machine, with the real database.
import http from "node:http";
import type { AddressInfo } from "node:net";
import { FeedService } from "@aether/contract/gen/aether/v2/feed_pb";
import { silentLogger } from "@aether/kit";
import { createClient, createRouterTransport } from "@connectrpc/connect";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { openScratchDatabase, type ScratchDatabase } from "../../db/scratch-database.ts";
import { feedsConfig } from "./config.ts";
import { createFeeds, type Feeds } from "./feeds.ts";

const never = new AbortController().signal;
let database: ScratchDatabase;
let server: http.Server;
let base: string;
let nowMs = 0;
let answer: (response: http.ServerResponse) => void = (response) => void response.end();
let requests = 0;
const running: Feeds[] = [];

beforeAll(async () => {
  database = await openScratchDatabase();
  server = http.createServer((_, response) => {
    requests++;
    answer(response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}/status`;
}, 60_000);
afterAll(async () => {
  server.closeAllConnections();
  server.close();
  await database.close();
});
beforeEach(async () => {
  for (const feeds of running.splice(0)) await feeds.stop();
  nowMs = Date.parse("2026-05-04T12:00:00Z");
  requests = 0;
  await database.db.deleteFrom("fetches").execute();
  await database.db.deleteFrom("incidents").execute();
});

/** Enrols without the loop: the tests say when. */
async function open(config: object = {}): Promise<{ feeds: Feeds; client: ReturnType<typeof clientOf> }> {
  const feeds = createFeeds({
    db: database.db,
    config: feedsConfig.parse({ sources: [{ name: "aws", url: base }], allowPrivateAddresses: true, timeoutMs: 500, ...config }),
    incidentHalfLifeSeconds: 3600,
    nowMs: () => nowMs,
    log: silentLogger,
  });
  running.push(feeds);
  await feeds.start?.(AbortSignal.abort());
  return { feeds, client: clientOf(feeds) };
}
const clientOf = (feeds: Feeds) =>
  createClient(
    FeedService,
    createRouterTransport((router) => feeds.routes?.(router)),
  );
const item = (id: string, title: string, minutesAgo: number) =>
  `<item><guid>${id}</guid><title>${title}</title><pubDate>${new Date(nowMs - minutesAgo * 60_000).toUTCString()}</pubDate><description>us-east-1</description></item>`;
const rss = (...items: string[]) => `<rss version="2.0"><channel>${items.join("")}</channel></rss>`;

describe("feeds", () => {
  it("are off unless configured", async () => {
    const { feeds, client } = await open({ sources: [] });
    await feeds.runDue(never);
    expect(requests).toBe(0);
    expect((await client.listFeeds({})).feeds).toEqual([]);
  });

  it("become incidents by region, once each, that fade and are resolved by a later word", async () => {
    const { feeds, client } = await open();
    answer = (response) => void response.end(rss(item("1", "Increased launch errors", 60), item("1", "Increased launch errors", 60)));
    await feeds.runDue(never);
    const [first, ...others] = (await client.listIncidents({ region: "us-east-1" })).incidents;
    expect(others).toEqual([]);
    expect(first).toMatchObject({ feed: "aws", region: "us-east-1", isResolved: false });
    expect(first?.weight).toBeCloseTo(0.5, 2);
    expect((await client.listFeeds({})).feeds[0]).toMatchObject({ state: "ok", kind: "rss", itemsKept: 1, error: "" });
    nowMs += 400_000;
    // An older word does not undo a newer one.
    answer = (response) => void response.end(rss(item("1", "Resolved: operating normally", 1), item("1", "Increased launch errors", 90)));
    await feeds.runDue(never);
    expect((await client.listIncidents({})).incidents.map((each) => [each.isResolved, each.weight])).toEqual([[true, 0]]);
  });

  it("keep failing sources at a distance, say why, and recover", async () => {
    const { feeds, client } = await open({ everyMs: 10_000 });
    answer = (response) => void response.writeHead(500).end();
    const pauses: number[] = [];
    for (let i = 0; i < 3; i++) {
      await feeds.runDue(never);
      const { feeds: list } = await client.listFeeds({});
      expect(list[0]).toMatchObject({ state: "failing", failuresInARow: i + 1, error: expect.stringContaining("answers 500") });
      pauses.push(Number(list[0]?.nextTryAt?.seconds ?? 0n) * 1000 - nowMs);
      expect(await feeds.runDue(never)).toBeGreaterThan(5_000);
      nowMs += pauses.at(-1)!;
    }
    expect(pauses).toEqual([20_000, 40_000, 80_000]);
    expect(requests).toBe(3);
    answer = (response) => void response.writeHead(503, { "retry-after": "7200" }).end();
    await feeds.runDue(never);
    expect(Number((await client.listFeeds({})).feeds[0]?.nextTryAt?.seconds) * 1000 - nowMs).toBe(7_200_000);
    nowMs += 7_200_000;
    answer = (response) => void response.end(rss());
    await feeds.runDue(never);
    expect((await client.listFeeds({})).feeds[0]).toMatchObject({ state: "ok", failuresInARow: 0, error: "" });
  });

  it("read hostile text as text, and refuse what is not a feed", async () => {
    const { feeds, client } = await open();
    answer = (response) => void response.end(rss(item("x", "&lt;script&gt;alert(1)&lt;/script&gt; trouble", 1)));
    await feeds.runDue(never);
    expect((await client.listIncidents({})).incidents[0]?.title).not.toMatch(/[<>]/);
    nowMs += 400_000;
    answer = (response) => void response.end('<!DOCTYPE x [<!ENTITY a "b">]><rss></rss>');
    await feeds.runDue(never);
    expect((await client.listFeeds({})).feeds[0]?.error).toContain("a document type is not allowed");
  });

  it("forget old incidents, and those of a feed that is not configured any more", async () => {
    const { feeds, client } = await open({ keepDays: 1 });
    answer = (response) => void response.end(rss(item("1", "Increased errors", 60)));
    await feeds.runDue(never);
    nowMs += 2 * 86_400_000;
    answer = (response) => void response.end(rss());
    await feeds.runDue(never);
    expect((await client.listIncidents({})).incidents).toEqual([]);
    answer = (response) => void response.end(rss(item("2", "Increased errors", 60)));
    nowMs += 400_000;
    await feeds.runDue(never);
    const other = await open({ sources: [{ name: "other", url: base }] });
    expect((await other.client.listIncidents({})).incidents).toEqual([]);
    expect((await other.client.listFeeds({})).feeds.map(({ name }) => name)).toEqual(["other"]);
  });

  it("do not reach this machine by default", async () => {
    const { feeds, client } = await open({ allowPrivateAddresses: false });
    await feeds.runDue(never);
    expect(requests).toBe(0);
    expect((await client.listFeeds({})).feeds[0]?.error).toContain("feeds.allowPrivateAddresses");
  });
});
