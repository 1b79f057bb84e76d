// A control plane without nodes of its own and a browser, for tests of the page that need no root. Agents there speak the real protocol over mutual TLS and
// say what the test wants; the moves of real workloads are in cloud.test.ts.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Browser } from "playwright-core";
import { afterAll, beforeAll } from "vitest";
import { type CoreUnderTest, startCore } from "../../packages/core/src/testing/core-under-test.ts";
import { chromiumMissing, launch, openTab, type Tab } from "./chromium.ts";

const dist = fileURLToPath(new URL("../../packages/web/dist/", import.meta.url));

/** Why the page cannot be tested here; undefined: it can. */
export const siteMissing =
  chromiumMissing ?? (existsSync(join(dist, "index.html")) ? undefined : "the dashboard is not built: npm run build:web");

interface Site {
  readonly core: CoreUnderTest;
  open(options?: Parameters<typeof openTab>[2]): Promise<Tab>;
}

/** One for all tests of the block that it is called in. */
export function useSite(): Site {
  let core: CoreUnderTest | undefined;
  let browser: Browser | undefined;
  beforeAll(async () => {
    [core, browser] = await Promise.all([startCore({ heartbeat: { intervalMs: 500, lostAfterMs: 60_000 } }), launch()]);
  }, 90_000);
  afterAll(async () => {
    await browser?.close();
    await core?.stop();
  });
  return {
    get core() {
      if (core === undefined) throw new Error("not before the tests begin");
      return core;
    },
    open(options) {
      if (core === undefined || browser === undefined) throw new Error("not before the tests begin");
      return openTab(browser, core.url, options);
    },
  };
}

/** The beginning of an element that makes the page scroll sideways; empty when none does. */
export const tooWide = `(() => {
  const { scrollWidth, clientWidth } = document.documentElement;
  if (scrollWidth <= clientWidth) return "";
  const scrolls = (element) => element !== null && (getComputedStyle(element).overflowX !== "visible" || scrolls(element.parentElement));
  const wide = [...document.body.querySelectorAll("*")].filter((each) => each.getBoundingClientRect().right > clientWidth + 1 && !scrolls(each.parentElement));
  return wide.at(-1)?.outerHTML.slice(0, 300) ?? "something";
})()`;
