// Two control planes on one PostgreSQL, behind a load balancer that asks /readyz: the page of somebody who looks goes on when the leader goes, with the same
// session, at the same address; and whoever opens the standby is told where to go.
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { request as ask, createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { coreConfig, type RunningCore, runCore } from "@aether/core";
import { silentLogger } from "@aether/kit";
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { postgresIsMissing } from "../../packages/core/src/testing/postgres-programs.ts";
import { type PostgresServer, startPostgres } from "../../packages/core/src/testing/postgres-server.ts";
import { freePort } from "../free-port.ts";
import { chromiumMissing, launch, openTab } from "./chromium.ts";
import { connection, enter, linkFor } from "./people.ts";

const isBuilt = existsSync(fileURLToPath(new URL("../../packages/web/dist/index.html", import.meta.url)));
const missing = chromiumMissing ?? postgresIsMissing ?? (isBuilt ? undefined : "the dashboard is not built: npm run build:web");

describe.skipIf(missing !== undefined)(`two control planes on one database${missing ? ` (skipped: ${missing})` : ""}`, () => {
  let dir: string;
  let server: PostgresServer;
  let browser: Browser;
  let balancer: Server;
  const cores: RunningCore[] = [];
  const backends: number[] = [];

  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), "aether-two-"));
    [server, browser] = await Promise.all([startPostgres(), launch()]);
    balancer = await startBalancer(backends);
  }, 90_000);
  afterAll(async () => {
    await browser?.close();
    await Promise.all(cores.map((core) => core.stop()));
    balancer?.closeAllConnections();
    balancer?.close();
    await server?.stop();
    if (dir !== undefined) await rm(dir, { recursive: true, force: true });
  });

  it("are one dashboard: the session outlives the leader, the page goes on by itself, and the standby says who leads", async () => {
    const database = await server.createDatabase();
    const start = async (name: string) => {
      const port = await freePort();
      backends.push(port);
      const config = coreConfig.parse({
        database,
        trustDomain: "test.local",
        dataDir: join(dir, name),
        authorityDir: join(dir, "authority"),
        http: { host: "127.0.0.1", port },
        agents: { host: "127.0.0.1", port: 0 },
      });
      return { port, running: runCore(config, new AbortController().signal, silentLogger) };
    };
    const first = await start("a");
    const leader = await first.running;
    const second = await start("b");
    const url = `http://127.0.0.1:${(balancer.address() as AddressInfo).port}`;
    const token = (await readFile(join(dir, "a", "admin.token"), "utf8")).trim();
    const call = async (method: string, path: string, body?: unknown) => {
      const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
      const answer = await fetch(url + path, { method, headers, ...(body === undefined ? {} : { body: JSON.stringify(body) }) });
      return { status: answer.status, body: (await answer.json()) as Record<string, unknown> };
    };
    const { page } = await openTab(browser, url);
    await enter(page, await linkFor(call, "ada", "ROLE_ADMIN"));
    await page.goto("/events");
    await connection(page).getByText("live").first().waitFor();

    const standby = await openTab(browser, `http://127.0.0.1:${second.port}`);
    await standby.page.goto("/nodes");
    await standby.page.getByRole("heading", { name: "This control plane stands by" }).waitFor();
    await standby.page.getByRole("link", { name: `http://127.0.0.1:${first.port}` }).waitFor();

    await leader.stop();
    cores.push(await second.running);
    await page.getByText(`the control plane listens on 127.0.0.1:${second.port}`).waitFor();
    await connection(page).getByText("live").first().waitFor();
    expect(await page.getByRole("heading", { level: 1, name: "Events" }).count()).toBe(1);
    // It asks again by itself, and is the dashboard now.
    await standby.page.getByRole("heading", { name: "Sign in" }).waitFor();
    await page.goto("/settings");
    await page.getByRole("heading", { name: "Who you are" }).waitFor();
  }, 90_000);
});

/** To the first that says it is ready; 502 while none does. Connections are passed on as they are. */
async function startBalancer(backends: readonly number[]): Promise<Server> {
  const isReady = (port: number) =>
    fetch(`http://127.0.0.1:${port}/readyz`).then(
      (answer) => answer.ok,
      () => false,
    );
  const made = createServer(async (request, response) => {
    for (const port of backends) {
      if (!(await isReady(port))) continue;
      const onward = ask({ host: "127.0.0.1", port, method: request.method, path: request.url, headers: request.headers }, (answer) => {
        response.writeHead(answer.statusCode ?? 502, answer.headers);
        answer.pipe(response);
      });
      onward.on("error", () => response.destroy());
      response.on("close", () => onward.destroy());
      request.pipe(onward);
      return;
    }
    response.writeHead(502).end();
  });
  await new Promise<void>((resolve) => made.listen(0, "127.0.0.1", resolve));
  return made;
}
