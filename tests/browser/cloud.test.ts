// The first five minutes, as a person has them: one command, its link, the button, the client's graph, the receipt. Real namespaces, runc and
// CRIU. Pictures of each page in both themes are left in .cache/screens, for people; with AETHER_SCREENS=DIR, small ones there, as docs/screens has them.
import { execFile } from "node:child_process";
import { existsSync, mkdirSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { machineChecks } from "@aether/agent";
import { runChecks } from "@aether/kit";
import { cloudNeeds } from "@aether/lab";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { chromiumMissing, expectAccessible, expectNoJump, launch, openTab } from "./chromium.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));
const bin = join(root, "packages/cli/bin/aether.mjs");
const kept = process.env.AETHER_SCREENS;
const screens = kept ?? join(root, ".cache/screens");
const prefix = "eb";

const missing = await whatIsMissing();
if (missing !== undefined) console.log(`skipped: ${missing}`);

async function whatIsMissing(): Promise<string | undefined> {
  if (chromiumMissing !== undefined) return chromiumMissing;
  if (!existsSync(join(root, "packages/cli/dist/main.js"))) return "the command is not built: npm run build";
  if (!existsSync(join(root, "packages/web/dist/index.html"))) return "the dashboard is not built: npm run build:web";
  const signal = AbortSignal.timeout(60_000);
  const reports = await runChecks(process.getuid?.() === 0 ? [...cloudNeeds(), ...(await machineChecks())] : cloudNeeds(), signal);
  const failed = reports.filter((report) => report.status === "fail");
  return failed.length === 0 ? undefined : failed.map((report) => `${report.title}: ${report.detail}`).join("; ");
}

describe.skipIf(missing !== undefined)("the first five minutes", () => {
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

  it("looks the same in both themes, on a telephone too, and does not jump: pictures for people", async () => {
    mkdirSync(screens, { recursive: true });
    await aether(
      "policy",
      "set",
      "databases",
      "--max-freeze",
      "500ms",
      "--priority",
      "90",
      "--description",
      "What clients wait for at most",
    );
    await aether(
      "policy",
      "set",
      "databases",
      "--max-freeze",
      "250ms",
      "--priority",
      "90",
      "--description",
      "What clients wait for at most",
    );
    await aether("drill", "schedule", "create", "weekly", "--cron", "0 3 * * mon");
    await aether("checkpoint", "demo");
    const paths = await page.evaluate(`[...document.querySelectorAll("#places nav a")].map((link) => link.getAttribute("href"))`);
    const first = async (list: string) => {
      await page.goto(list);
      return page.locator(`main a[href^="${list}/"]`).first().getAttribute("href");
    };
    const more = [
      await first("/migrations"),
      await first("/drills"),
      await first("/decisions"),
      "/nodes/n1",
      "/workloads/demo",
      "/workloads/demo?tab=snapshots",
      "/policies/databases",
      "/drills?tab=schedules",
      "/runbooks?start=retire-node",
      "/runbooks?tab=runs",
      ...["accounts", "tokens", "retention", "config", "diagnostics"].map((tab) => `/settings?tab=${tab}`),
    ];
    const take = async (path: string, theme: string, width: string) => {
      await page.goto(path);
      await page.locator('main :is(section, [role="table"])').first().waitFor();
      // Graphs come a moment after their page.
      await page.waitForTimeout(kept === undefined ? 250 : 1_200);
      const name =
        path
          .replace(/^\//, "")
          .replaceAll(/[^a-z0-9]+/g, "-")
          .replace(/-(mig|drl|dec)-.*$/, "-one") || "overview";
      const file = join(screens, `${name}${width}-${theme}`);
      if (kept === undefined) await page.screenshot({ path: `${file}.png`, fullPage: true });
      else await page.screenshot({ path: `${file}.jpg`, type: "jpeg", quality: 70 });
    };
    for (const theme of ["dark", "light"] as const) {
      await page.emulateMedia({ colorScheme: theme });
      for (const path of [...(paths as string[]), ...more]) {
        if (path === null) continue;
        await take(path, theme, "");
        if (theme === "dark") await expectNoJump(page);
        if (theme === "dark" && more.includes(path)) await expectAccessible(page);
      }
    }
    await page.setViewportSize({ width: 375, height: 812 });
    await page.emulateMedia({ colorScheme: "dark" });
    for (const path of ["/", "/nodes", "/drills", "/risk", "/policies", more[0], more[1], "/nodes/n1", "/workloads/demo"])
      if (path) await take(path, "dark", "-narrow");
  }, 180_000);
});

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0));
    });
  });
}
