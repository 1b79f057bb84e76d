// A control plane whose database server goes away for longer than its leadership lasts: it says so, waits, and serves again without a hand.
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLogger } from "@aether/kit";
import { expect, it } from "vitest";
import { run } from "../run.ts";
import { postgresIsMissing } from "../testing/postgres-programs.ts";
import { startPostgres } from "../testing/postgres-server.ts";

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === "string") throw new Error("no port");
  return address.port;
}

it("outlives its database server's absence, as leader and as standby, and ends at the first start without one", async (context) => {
  if (postgresIsMissing !== undefined) context.skip(postgresIsMissing);
  const dir = await mkdtemp(join(tmpdir(), "aether-core-"));
  const server = await startPostgres();
  const ending = new AbortController();
  const [http, agents, other] = [await freePort(), await freePort(), await freePort()];
  const overrides = {
    dataDir: join(dir, "core"),
    database: await server.createDatabase(),
    http: { port: http },
    agents: { host: "127.0.0.1", port: agents },
    leadership: { leaseMs: 1_000 },
  };
  const running = run({ overrides, signal: ending.signal, log: silentLogger });
  const says = (port: number) =>
    fetch(`http://127.0.0.1:${port}/readyz`).then(
      async (answer) => ((await answer.json()) as { status: string }).status,
      () => "closed",
    );
  let standing: Promise<void> = Promise.resolve();
  const status = (path: string, token = "") =>
    fetch(`http://127.0.0.1:${http}${path}`, { headers: { authorization: `Bearer ${token}` } }).then(
      (answer) => answer.status,
      () => "closed" as const,
    );
  try {
    await expect.poll(() => status("/readyz"), { timeout: 20_000 }).toBe(200);
    const token = (await readFile(join(dir, "core/admin.token"), "utf8")).trim();
    expect(await status("/api/v2/nodes", token)).toBe(200);
    const second = {
      dataDir: join(dir, "second"),
      authorityDir: join(dir, "core"),
      http: { port: other },
      agents: { host: "127.0.0.1", port: 0 },
    };
    standing = run({ overrides: { ...overrides, ...second }, signal: ending.signal, log: silentLogger });
    // With so short a lease, on a busy machine, they may have changed places already.
    const ready = async () => [await says(http), await says(other)].sort().join();
    await expect.poll(ready, { timeout: 20_000 }).toBe("ok,standby");
    await server.kill();
    // When the leadership is over nothing is served: another control plane might lead by then. Both say why.
    await expect.poll(() => says(http), { timeout: 30_000 }).toBe("waiting");
    await expect.poll(() => says(other), { timeout: 20_000 }).toBe("waiting");
    expect(await status("/healthz")).toBe(200);
    await server.start();
    await expect.poll(ready, { timeout: 30_000 }).toBe("ok,standby");
  } finally {
    ending.abort();
    await Promise.all([running, standing]);
    await server.stop();
  }
  try {
    const first = run({
      overrides: { ...overrides, dataDir: join(dir, "other") },
      signal: new AbortController().signal,
      log: silentLogger,
    });
    await expect(first).rejects.toMatchObject({ code: "STORAGE_FAILED" });
  } finally {
    await rm(dir, { recursive: true, force: true, maxRetries: 5 });
  }
});
