// The first five minutes, as a person has them: one command, its link, the button, the client's graph, the receipt. Real namespaces, runc and
// CRIU. Pictures of each page in both themes are left in .cache/screens, for people; with AETHER_SCREENS=DIR, small ones there, as docs/screens has them.
import { execFile } from "node:child_process";
import { existsSync, mkdirSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { freePort } from "../free-port.ts";
import { bin, missingForCloud, root } from "../local-cloud.ts";
import { chromiumMissing, expectAccessible, expectNoJump, launch, openTab } from "./chromium.ts";

const kept = process.env.AETHER_SCREENS;
const screens = kept ?? join(root, ".cache/screens");
const prefix = "eb";

const missing = await whatIsMissing();

async function whatIsMissing(): Promise<string | undefined> {
  if (chromiumMissing !== undefined) return chromiumMissing;
  if (!existsSync(join(root, "packages/web/dist/index.html"))) return "the dashboard is not built: npm run build:web";
  return missingForCloud();
}

describe.skipIf(missing !== undefined)(`the first five minutes${missing ? ` (skipped: ${missing})` : ""}`, () => {
  let dir: string;
  let browser: Browser;
  let page: Page;
  let complaints: string[];
  let url: string;

  const aether = (...args: string[]) =>
    new Promise<string>((resolve, reject) => {
      execFile(process.execPath, [bin, ...args], { env: { ...process.env, AETHER_DIR: dir }, timeout: 150_000 }, (failure, out, err) =>
        failure === null ? resolve(out) : reject(new Error(`aether ${args.join(" ")}: ${err}`)),
      );
    });

  const trustBundle = async () => {
    const file = join(dir, "trust.pem");
    await aether("drill", "report", "--save-trust", file);
    return file;
  };

  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), "aether-browser-"));
    browser = await launch();
  }, 60_000);
  afterAll(async () => {
    await browser?.close();
    if (missing === undefined) await aether("down", "--prefix", prefix).catch((caught: unknown) => console.log(caught));
    if (dir !== undefined) await rm(dir, { recursive: true, force: true });
  }, 60_000);

  it("`aether up` prints a link that signs in with one click, once", async () => {
    const out = await aether(
      "up",
      "--detach",
      "--json",
      "--prefix",
      prefix,
      "--subnet",
      "10.79.0.0/16",
      "--port",
      String(await freePort()),
    );
    const { signInUrl, url: own } = JSON.parse(out) as { signInUrl: string; url: string };
    url = own;
    ({ page, complaints } = await openTab(browser, url));
    await page.goto(signInUrl);
    await page.getByRole("heading", { level: 1, name: "Overview" }).waitFor();
    await page.getByRole("link", { name: "n1", exact: true }).first().waitFor();
    await page.getByText("every answer right").waitFor();
    const second = await openTab(browser, url);
    await second.page.goto(signInUrl);
    await second.page.getByRole("heading", { name: "This link does not work any more" }).waitFor();
    await second.close();
  });

  it("shows a drill from the button to the receipt, while the client's graph shows one pause and no error", async () => {
    await page.getByRole("button", { name: "Interrupt this node" }).first().click();
    await page.getByRole("dialog").getByText("demo").first().waitFor();
    await page.getByRole("button", { name: "Interrupt it" }).click();
    await page.getByText("the drill on n1 passed").first().waitFor({ timeout: 40_000 });
    await page.getByText(/^longest pause /).waitFor();
    expect(await page.getByText("every answer right").count()).toBe(1);
    await page.goto("/drills");
    await page.getByRole("table").getByRole("link").first().click();
    await page.getByText("whole: nothing was lost").waitFor();
    expect(await page.getByRole("cell", { name: "differs" }).count()).toBe(0);
    const report = page.getByRole("region", { name: "Signed report" });
    await report.getByRole("button", { name: "Verify in this browser" }).click();
    await report.getByText(/^all \d+ checks hold$/).waitFor();
    const [download] = await Promise.all([page.waitForEvent("download"), report.getByRole("button", { name: "Download, signed" }).click()]);
    const checked = await aether("drill", "report", "--verify", await download.path(), "--trust", await trustBundle(), "--json");
    expect(JSON.parse(checked)).toMatchObject({ isVerified: true });
    await page.goto("/migrations");
    await page.getByRole("table").getByRole("link").first().click();
    await page.getByRole("button", { name: "Replay" }).click();
    await page.getByRole("button", { name: "Verify in this browser" }).click();
    await page.getByText(/^all \d+ checks hold$/).waitFor();
    await page.getByRole("cell", { name: "freeze.network_cut" }).waitFor();
    // Both hosts on one clock, and each step with how it ended.
    await page.getByText(/^all on the control plane's clock, lanes ± /).waitFor();
    expect(await page.getByRole("row", { name: /^freeze n1 .* done/ }).count()).toBe(1);
    await expectAccessible(page);
  });

  it("moves a workload by hand, with what it will cost before one agrees, and shows the move as it happens", async () => {
    await page.goto("/workloads/demo");
    await page.getByRole("button", { name: "Move", exact: true }).click();
    await page.getByText(/open connection/).waitFor();
    await page.getByRole("button", { name: "Move it" }).click();
    await page.getByRole("heading", { level: 1, name: "demo" }).getByText("done").waitFor({ timeout: 40_000 });
    await page.getByText("whole: nothing was lost").waitFor();
    expect(complaints).toEqual([]);
  });

  it(
    "looks the same in both themes, on a telephone too, and does not jump: pictures for people",
    async () => {
      mkdirSync(screens, { recursive: true });
      const policy = (freeze: string) =>
        aether("policy", "set", "databases", "--max-freeze", freeze, "--priority", "90", "--description", "What clients wait for at most");
      await policy("800ms");
      await policy("500ms");
      await aether("drill", "schedule", "create", "weekly", "--cron", "0 3 * * mon");
      const { id: snapshot } = JSON.parse(await aether("checkpoint", "demo", "--json")) as { id: string };
      const file = join(dir, "keep-and-tell.yaml");
      await writeFile(file, runbook("hello"));
      await aether("runbook", "add", file);
      await writeFile(file, runbook("$workload is kept"));
      await aether("runbook", "add", file);
      await aether("runbook", "run", "return-node", "node=n1", "--wait");
      await aether("runbook", "run", "keep-and-tell");
      const entries = (await page.evaluate(async () => (await (await fetch("/api/v2/audit")).json()) as unknown)) as {
        entries: { sequence: string; action: string }[];
      };
      const runs = (await page.evaluate(async () => (await (await fetch("/api/v2/runbook-runs")).json()) as unknown)) as {
        runs: { id: string }[];
      };
      const paths = (await page.evaluate(
        `[...document.querySelectorAll("#places nav a")].map((link) => link.getAttribute("href"))`,
      )) as string[];
      const first = async (list: string) => {
        await page.goto(list);
        return (await page.locator(`main a[href^="${list}/"]`).first().getAttribute("href")) ?? list;
      };
      const more = [
        await first("/migrations"),
        await first("/drills"),
        // The older one has moved something.
        await (async () => {
          await page.goto("/decisions");
          return (
            (await page
              .getByRole("row", { name: /migrate/ })
              .getByRole("link")
              .first()
              .getAttribute("href")) ?? "/decisions"
          );
        })(),
        "/nodes/n1",
        "/nodes/n1?tab=moves",
        "/workloads/demo",
        "/workloads/demo?tab=snapshots",
        `/snapshots?open=${snapshot}`,
        `/audit?open=${entries.entries.find(({ action }) => action === "policy.set")?.sequence}`,
        "/policies/databases",
        "/drills?tab=schedules",
        "/runbooks/keep-and-tell",
        `/runbooks/runs/${runs.runs[0]?.id}`,
        "/runbooks?start=retire-node&node=n1",
        "/runbooks?tab=runs",
        ...["accounts", "tokens", "retention", "config", "diagnostics"].map((tab) => `/settings?tab=${tab}`),
      ];
      const take = async (from: Page, path: string, ending: string) => {
        await from.goto(path);
        await from.locator('main :is(section, [role="table"])').first().waitFor();
        await shoot(from, path, ending);
      };
      const shoot = async (from: Page, path: string, ending: string) => {
        // Graphs come a moment after their page.
        await from.waitForTimeout(kept === undefined ? 250 : 1_000);
        const name = nameOf(path);
        if (kept === undefined) await from.screenshot({ path: join(screens, `${name}-${ending}.png`), fullPage: true });
        else await writeFile(join(screens, `${name}-${ending}.webp`), await webp(from));
      };
      /** What is only there after somebody has pressed something. */
      const pressed: readonly (readonly [name: string, press: (from: Page) => Promise<unknown>])[] = [
        [
          "/palette",
          async (from) => {
            await from.goto("/nodes");
            await from.getByRole("link", { name: "n2", exact: true }).waitFor();
            await from.keyboard.press("Control+k");
          },
        ],
        [
          "/runbooks-change",
          (from) =>
            from.goto("/runbooks/keep-and-tell").then(async () => {
              await from.getByRole("button", { name: "Change" }).click();
              await from.getByRole("textbox").fill(runbook("$workload is kept, and this is new"));
              await from.getByRole("button", { name: "Check it" }).click();
              await from.getByText("Whoever runs it needs the role").waitFor();
            }),
        ],
        ["/move", (from) => from.goto("/workloads/demo").then(() => from.getByRole("button", { name: "Move", exact: true }).click())],
      ];
      await page.setViewportSize({ width: 1440, height: 900 });
      for (const theme of ["dark", "light"] as const) {
        await page.emulateMedia({ colorScheme: theme });
        for (const path of [...paths, ...more]) {
          await take(page, path, theme);
          if (theme === "dark") await expectNoJump(page);
          if (theme === "dark" && more.includes(path)) await expectAccessible(page);
        }
        for (const [name, press] of pressed) {
          await press(page);
          await page.getByRole("dialog").waitFor();
          await shoot(page, name, theme);
          if (theme === "dark") await expectAccessible(page);
        }
      }
      // A telephone, with its own way to scroll: every page for people, the main ones in each run.
      const telephone = await openTab(browser, url, {
        width: 375,
        height: 812,
        isTelephone: true,
        storageState: await page.context().storageState(),
      });
      for (const path of kept === undefined ? ["/", "/nodes", "/drills", "/nodes/n1", "/workloads/demo"] : [...paths, ...more])
        await take(telephone.page, path, "narrow-dark");
      expect(telephone.complaints).toEqual([]);
      await telephone.close();
    },
    kept === undefined ? 180_000 : 300_000,
  );
});

const runbook = (message: string) => `name: keep-and-tell
description: A workload is kept before somebody works on it, and everybody is told.
parameters:
  - name: workload
    type: workload
    default: demo
steps:
  - name: kept
    act: snapshot
    inputs: { workload: $workload }
  - name: sure
    act: confirm
    inputs: { message: "Has everybody been told about $workload?" }
  - name: tell
    act: notify
    inputs: { message: "${message}" }
`;

/** A third of what JPEG takes for letters that are as sharp. */
async function webp(page: Page): Promise<Buffer> {
  const browser = await page.context().newCDPSession(page);
  const { data } = await browser.send("Page.captureScreenshot", { format: "webp", quality: 70 });
  await browser.detach();
  return Buffer.from(data, "base64");
}

/** "/migrations/mig-01m8…" is migrations-one. */
const nameOf = (path: string): string =>
  path
    .replace(/^\//, "")
    .replace(/open=.*/, "open")
    .replaceAll(/[^a-z0-9]+/g, "-")
    .replace(/-(mig|drl|dec|run)-[0-9a-z]{10,}.*$/, "-one") || "overview";
