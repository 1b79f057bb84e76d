// Ten thousand nodes on record: rows put into the database before the control plane starts, so none of them is connected. What is tested is that
// the page reads, searches, sorts and scrolls them.
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { coreConfig, type RunningCore, runCore } from "@aether/core";
import { silentLogger } from "@aether/kit";
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openDatabase } from "../../packages/core/src/db/database.ts";
import { chromiumMissing, expectAccessible, launch, openTab } from "./chromium.ts";
import { enter, linkFor } from "./people.ts";

const isBuilt = existsSync(fileURLToPath(new URL("../../packages/web/dist/index.html", import.meta.url)));
const missing = chromiumMissing ?? (isBuilt ? undefined : "the dashboard is not built: npm run build:web");
const nodeCount = 10_000;

describe.skipIf(missing !== undefined)(`ten thousand nodes${missing ? ` (skipped: ${missing})` : ""}`, () => {
  let dir: string;
  let core: RunningCore;
  let browser: Browser;
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), "aether-many-"));
    const database = await openDatabase({ dataDir: dir }, new AbortController().signal);
    for (let from = 0; from < nodeCount; from += 1000) {
      await database.db
        .insertInto("nodes")
        .values(
          Array.from({ length: 1000 }, (_, i) => ({
            id: `node-${from + i}`,
            facts: JSON.stringify({
              cloud: { instanceType: ["m5.large", "r6g.xlarge", "c7i.2xlarge"][i % 3], zone: `eu-west-1${"abc"[i % 3]}` },
            }),
            lost_at: new Date(),
          })),
        )
        .execute();
    }
    await database.close();
    const config = coreConfig.parse({ dataDir: dir, http: { port: 0 }, agents: { host: "127.0.0.1", port: 0 } });
    core = await runCore(config, new AbortController().signal, silentLogger);
    browser = await launch();
  }, 120_000);
  afterAll(async () => {
    await browser?.close();
    await core?.stop();
    if (dir !== undefined) await rm(dir, { recursive: true, force: true });
  });

  it("are searched, sorted and scrolled to the end, with a few dozen rows on the page at a time", async () => {
    const url = `http://127.0.0.1:${core.http.port}`;
    const token = (await readFile(join(dir, "admin.token"), "utf8")).trim();
    const call = async (method: string, path: string, body?: unknown) => {
      const answer = await fetch(url + path, {
        method,
        headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      return { status: answer.status, body: (await answer.json()) as Record<string, unknown> };
    };
    const { page, complaints } = await openTab(browser, url);
    await enter(page, await linkFor(call, "ada", "ROLE_ADMIN"));
    await page.goto("/nodes");
    await page.getByText("10,000 nodes").waitFor();
    await page.getByRole("link", { name: "node-0", exact: true }).waitFor();
    expect(await page.getByRole("row").count()).toBeLessThan(80);
    await expectAccessible(page);
    // To the very end, in steps as a wheel does.
    for (let i = 1; i <= 30; i++) {
      await page.evaluate(`scrollTo(0, (document.documentElement.scrollHeight * ${i}) / 30)`);
      await page.evaluate("new Promise((resolve) => requestAnimationFrame(resolve))");
      expect(await page.getByRole("row").count(), "rows are there at once, wherever one scrolls").toBeGreaterThan(10);
    }
    await page.getByRole("link", { name: "node-9999", exact: true }).waitFor();
    await page.getByLabel("Search nodes").fill("node-123");
    await page.getByText("11 of 10,000 nodes").waitFor();
    await page.getByLabel("Search nodes").fill("");
    await page.getByLabel("Pool", { exact: true }).selectOption("m5.large/eu-west-1a");
    await page.getByText(/^3,3\d\d of 10,000 nodes$/).waitFor();
    expect(new URL(page.url()).searchParams.get("pool")).toBe("m5.large/eu-west-1a");
    await page.getByRole("columnheader", { name: "Node" }).getByRole("button").click();
    await page.getByRole("link", { name: "node-9999", exact: true }).waitFor();
    expect(complaints).toEqual([]);
  }, 90_000);
});
