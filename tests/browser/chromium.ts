// The distribution's own Chromium, headless, driven over its protocol. Whatever the page complains about in its console fails the test.
import { accessSync, constants } from "node:fs";
import { type Browser, type BrowserContext, type BrowserContextOptions, chromium, type Page } from "playwright-core";
import { expect } from "vitest";

const places = [process.env.AETHER_CHROMIUM ?? "", "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];

export const chromiumPath = places.find((path) => {
  try {
    accessSync(path, constants.X_OK);
    return path !== "";
  } catch {
    return false;
  }
});

export const chromiumMissing = chromiumPath === undefined ? "there is no Chromium: apt-get install chromium" : undefined;

const quiet = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

export const launch = (): Promise<Browser> => chromium.launch({ executablePath: chromiumPath ?? "", args: quiet });

export interface Tab {
  readonly page: Page;
  /** What the console said that is an error, less what the test expects. */
  readonly complaints: string[];
  close(): Promise<void>;
}

interface TabOptions {
  readonly theme?: "dark" | "light";
  readonly width?: number;
  readonly height?: number;
  /** Touched, with scrollbars that take no room. */
  readonly isTelephone?: boolean;
  /** Signed in as that one. */
  readonly storageState?: BrowserContextOptions["storageState"];
}

/** A tab with cookies of its own. */
export async function openTab(
  browser: Browser,
  url: string,
  { theme = "dark", width = 1280, height = 900, isTelephone = false, storageState }: TabOptions = {},
): Promise<Tab> {
  const context: BrowserContext = await browser.newContext({
    viewport: { width, height },
    colorScheme: theme,
    baseURL: url,
    isMobile: isTelephone,
    hasTouch: isTelephone,
    ...(storageState === undefined ? {} : { storageState }),
  });
  context.setDefaultTimeout(15_000);
  const page = await context.newPage();
  await page.addInitScript(`
    globalThis.jumps = [];
    new PerformanceObserver((list) => {
      for (const { value, hadRecentInput, sources } of list.getEntries())
        if (!hadRecentInput) globalThis.jumps.push({ value, what: sources.map(({ node }) => node?.outerHTML?.slice(0, 120) ?? node?.textContent ?? "") });
    }).observe({ type: "layout-shift", buffered: true });
  `);
  const complaints: string[] = [];
  page.on("console", (message) => {
    // Interfaces of this machine that come and go (a local cloud beside this test) end requests of any page.
    if (message.type() === "error" && !message.text().includes("ERR_NETWORK_CHANGED")) complaints.push(message.text());
  });
  page.on("pageerror", (error) => complaints.push(error.message));
  page.on("dialog", (dialog) => {
    complaints.push(`a dialog: ${dialog.message()}`);
    void dialog.dismiss();
  });
  return { page, complaints, close: () => context.close() };
}

/** A page that has jumped by itself since it was opened is told: the sum of its layout shifts (0: none; 0.1 is what a person notices), and what moved. */
export async function expectNoJump(page: Page): Promise<void> {
  const jumps = await page.evaluate(() => (globalThis as unknown as { jumps: { value: number; what: string[] }[] }).jumps);
  const sum = jumps.reduce((total, { value }) => total + value, 0);
  expect.soft(sum, `${page.url()} jumps: ${JSON.stringify(jumps)}`).toBeLessThan(0.05);
}

/** No violation of WCAG 2.2 A and AA that axe finds on what is shown now; or of these rules alone. */
export async function expectAccessible(page: Page, rules?: readonly string[]): Promise<void> {
  const { default: axe } = await import("axe-core");
  // The content security policy lets no script in; the debugger's own evaluation is not under it.
  await page.evaluate(axe.source);
  // Colours are judged when they have arrived: half-way through a transition from one theme to the other none has its contrast.
  await page.evaluate(
    "new Promise(requestAnimationFrame).then(() => Promise.all(document.getAnimations().filter((each) => each.effect?.getComputedTiming().iterations !== Infinity).map((each) => each.finished.catch(() => 0))).then(() => 0))",
  );
  const runOnly = rules ?? ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"];
  const violations = await page.evaluate(
    async (only) => {
      const run = (
        globalThis as unknown as {
          axe: { run(options: object): Promise<{ violations: { id: string; nodes: { html: string; failureSummary?: string }[] }[] }> };
        }
      ).axe.run;
      const answer = await run({ runOnly: only });
      return answer.violations.map(
        ({ id, nodes }) =>
          `${id}: ${nodes
            .slice(0, 3)
            .map(({ html, failureSummary }) => `${html.slice(0, 200)} (${(failureSummary ?? "").slice(0, 300)})`)
            .join("; ")}`,
      );
    },
    [...runOnly],
  );
  expect(violations).toEqual([]);
}
