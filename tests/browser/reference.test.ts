// The API reference in a real browser, under the strict content security policy: it shows every route, finds, links, and is readable for everybody.
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type CoreUnderTest, startCore } from "../../packages/core/src/testing/core-under-test.ts";
import { chromiumMissing, expectAccessible, launch, openTab } from "./chromium.ts";

describe.skipIf(chromiumMissing !== undefined)(`the API reference${chromiumMissing ? ` (skipped: ${chromiumMissing})` : ""}`, () => {
  let core: CoreUnderTest;
  let browser: Browser;
  beforeAll(async () => {
    core = await startCore();
    browser = await launch();
  });
  afterAll(async () => {
    await browser?.close();
    await core?.stop();
  });

  it.each(["dark", "light"] as const)("shows every route of the document, %s", async (theme) => {
    const api = (await (await fetch(`${core.url}/openapi.json`)).json()) as { paths: Record<string, Record<string, unknown>> };
    const routes = Object.values(api.paths).reduce((count, item) => count + Object.keys(item).length, 0);
    const { page, complaints, close } = await openTab(browser, core.url, { theme });
    await page.goto("/docs#Node_CordonNode");
    const cordon = page.locator("#Node_CordonNode");
    await cordon.locator("text=The node takes no new workload").first().waitFor();
    expect(await page.locator("section:not(#messages) details").count()).toBe(routes);
    expect(await cordon.getAttribute("open")).not.toBeNull();
    expect(await page.locator("main").textContent()).not.toContain("[object");
    expect(await cordon.locator("pre").textContent()).toContain('curl -X POST "$AETHER_URL/api/v2/nodes/ID:cordon"');
    await expectAccessible(page);

    await cordon.getByRole("link", { name: "CordonNodeResponse" }).click();
    expect(await page.locator("#message-CordonNodeResponse").getAttribute("open")).not.toBeNull();
    await page.getByRole("searchbox").fill("uncordon");
    expect(await page.locator("#Node_UncordonNode").isVisible()).toBe(true);
    expect(await cordon.isVisible()).toBe(false);

    await page.goto("/docs/v1");
    expect(await page.locator("tbody tr").count()).toBeGreaterThan(10);
    await expectAccessible(page);
    expect(complaints).toEqual([]);
    await close();
  });
});
