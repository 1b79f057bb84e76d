// How quick the page is, in a real headless Chromium against a real control plane: the first view of a small fleet, and 10,000 nodes scrolled. Frames are
// counted by the browser's own compositor (tracing), beside a baseline that is the best there can be: an empty page of the same height, scrolled the same way
// in the same browser. `npm run bench:dashboard -- --runs 5`.
import "../help.ts";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { cpus, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { coreConfig, runCore } from "@aether/core";
import { silentLogger } from "@aether/kit";
import type { Browser, BrowserContext, Page } from "playwright-core";
import { openDatabase } from "../../packages/core/src/db/database.ts";
import { chromiumPath, launch } from "../../tests/browser/chromium.ts";
import { type Frames, framesWhile } from "./frames.ts";

const { values } = parseArgs({ options: { runs: { type: "string", default: "5" }, nodes: { type: "string", default: "10000" } } });
const runs = Number(values.runs);
const nodeCount = Number(values.nodes);
if (chromiumPath === undefined) throw new Error("there is no Chromium: apt-get install chromium");

const median = (all: readonly number[]) => all.toSorted((a, b) => a - b)[Math.floor(all.length / 2)] ?? Number.NaN;
const spread = (all: readonly number[], digits = 0) =>
  `${median(all).toFixed(digits)} (${Math.min(...all).toFixed(digits)}-${Math.max(...all).toFixed(digits)})`;

/** A control plane with so many nodes on record, and a way to call it. */
async function startWith(count: number) {
  const dir = await mkdtemp(join(tmpdir(), "aether-bench-dashboard-"));
  const database = await openDatabase({ dataDir: dir }, new AbortController().signal);
  const types = ["m5.large", "r6g.xlarge", "c7i.2xlarge"];
  for (let from = 0; from < count; from += 1000) {
    await database.db
      .insertInto("nodes")
      .values(
        Array.from({ length: Math.min(1000, count - from) }, (_, i) => ({
          id: `node-${from + i}`,
          facts: JSON.stringify({ cloud: { instanceType: types[i % 3], zone: `eu-west-1${"abc"[i % 3]}`, region: "eu-west-1" } }),
          usage: JSON.stringify({ cpuFraction: (i % 100) / 100, memoryAvailableBytes: String(i * 1e6) }),
          lost_at: new Date(),
        })),
      )
      .execute();
  }
  await database.close();
  const core = await runCore(
    coreConfig.parse({ dataDir: dir, http: { port: 0 }, agents: { host: "127.0.0.1", port: 0 } }),
    new AbortController().signal,
    silentLogger,
  );
  const url = `http://127.0.0.1:${core.http.port}`;
  const token = (await readFile(join(dir, "admin.token"), "utf8")).trim();
  const call = async (path: string, body: object) =>
    (await (
      await fetch(url + path, {
        method: "POST",
        headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
        body: JSON.stringify(body),
      })
    ).json()) as { secret?: string };
  await call("/api/v2/accounts", { name: "bench", role: "ROLE_VIEWER" });
  return {
    url,
    link: async () => `/sign-in#${(await call("/api/v2/accounts/bench:sign-in-link", {})).secret ?? ""}`,
    async stop() {
      await core.stop();
      await rm(dir, { recursive: true, force: true });
    },
  };
}

type Cloud = Awaited<ReturnType<typeof startWith>>;

async function signedIn(browser: Browser, cloud: Cloud): Promise<{ context: BrowserContext; page: Page }> {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, baseURL: cloud.url });
  const page = await context.newPage();
  await page.goto(await cloud.link());
  await page.getByRole("heading", { level: 1, name: "Overview" }).waitFor();
  return { context, page };
}

interface FirstView {
  readonly firstPaintMs: number;
  readonly largestPaintMs: number;
  readonly readyMs: number;
  readonly scriptBytes: number;
  readonly shift: number;
}

/** With nothing in the browser's cache but the session. Ready: the fleet's numbers are on the page. */
async function firstView(browser: Browser, cloud: Cloud): Promise<FirstView> {
  const { context, page: first } = await signedIn(browser, cloud);
  await first.close();
  const page = await context.newPage();
  const devtools = await context.newCDPSession(page);
  await devtools.send("Network.enable");
  await devtools.send("Network.setCacheDisabled", { cacheDisabled: true });
  await page.addInitScript(`globalThis.seen = { lcp: 0, shift: 0 };
    new PerformanceObserver((list) => { for (const each of list.getEntries()) seen.lcp = each.startTime; }).observe({ type: "largest-contentful-paint", buffered: true });
    new PerformanceObserver((list) => { for (const each of list.getEntries()) if (!each.hadRecentInput) seen.shift += each.value; }).observe({ type: "layout-shift", buffered: true });`);
  const begunAt = performance.now();
  await page.goto("/", { waitUntil: "commit" });
  await page
    .getByText(/^\d+ of \d+$/)
    .first()
    .waitFor();
  const readyMs = performance.now() - begunAt;
  await page.waitForTimeout(1_500);
  const seen = await page.evaluate<{ lcp: number; shift: number; fcp: number; script: number }>(`({
    ...seen,
    fcp: performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? NaN,
    script: performance.getEntriesByType("resource").filter(({ name }) => /\\.js$/.test(new URL(name).pathname)).reduce((sum, each) => sum + each.encodedBodySize, 0),
  })`);
  await context.close();
  return { firstPaintMs: seen.fcp, largestPaintMs: seen.lcp, readyMs, scriptBytes: seen.script, shift: seen.shift };
}

/** As a wheel does: 3,000 px a second, for four seconds. */
const scroll = `new Promise((done) => {
  const begun = performance.now();
  const step = (now) => {
    scrollTo(0, (now - begun) * 3);
    if (now - begun < 4000) requestAnimationFrame(step); else done(0);
  };
  requestAnimationFrame(step);
})`;

const small = await startWith(2);
const browser = await launch();
const views: FirstView[] = [];
for (let i = 0; i < runs; i++) views.push(await firstView(browser, small));
await small.stop();

const large = await startWith(nodeCount);
const rows: Record<"empty page" | "nodes", Frames[]> = {
  "empty page": [],
  nodes: [],
};
const { context, page } = await signedIn(browser, large);
const listBegunAt = performance.now();
await page.goto("/nodes");
await page.getByText(`${nodeCount.toLocaleString("en")} nodes`).waitFor();
const listMs = performance.now() - listBegunAt;
const blank = await context.newPage();
// The longest height that Chromium lays out is far above that of the list; the blank page has the list's.
await blank.goto("about:blank");
await blank.evaluate(`document.body.style.height = "${nodeCount * 40}px"`);
for (let i = 0; i < runs; i++) {
  await blank.bringToFront();
  rows["empty page"].push(await framesWhile(browser, blank, scroll));
  await page.bringToFront();
  rows.nodes.push(await framesWhile(browser, page, scroll));
  await page.evaluate("scrollTo(0, 0)");
}
await browser.close();
await large.stop();

const of = (read: (view: FirstView) => number) => views.map(read);
console.log(`${cpus().length} x ${cpus()[0]?.model.trim()}, Node ${process.version}, load ${loadavg()[0]?.toFixed(1)}, ${runs} runs, median (min-max)

| first view, nothing cached, 2 nodes | |
|---|---|
| first contentful paint, ms | ${spread(of((view) => view.firstPaintMs))} |
| largest contentful paint, ms | ${spread(of((view) => view.largestPaintMs))} |
| the fleet's numbers are there, ms | ${spread(of((view) => view.readyMs))} |
| script, compressed, kB | ${spread(of((view) => view.scriptBytes / 1000))} |
| layout shift (CLS) | ${spread(
  of((view) => view.shift),
  3,
)} |

${nodeCount.toLocaleString("en")} nodes are read and shown in ${listMs.toFixed(0)} ms.

| scrolled 12,000 px in 4 s | frames a second | dropped | CPU of the page's thread for each, ms | longest, ms |
|---|---|---|---|---|
${(["empty page", "nodes"] as const)
  .map((name) => {
    const all = rows[name];
    return `| ${name === "nodes" ? `the list of ${nodeCount.toLocaleString("en")} nodes` : "an empty page of that height"} | ${spread(
      all.map(({ fps }) => fps),
      1,
    )} | ${spread(all.map(({ dropped }) => dropped))} | ${spread(
      all.map(({ cpuMs }) => cpuMs),
      1,
    )} | ${spread(all.map(({ worstMs }) => worstMs))} |`;
  })
  .join("\n")}`);
