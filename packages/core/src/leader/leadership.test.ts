// Several control planes on one PostgreSQL: one leads, another takes over, an old one can do no harm.
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fault } from "@aether/contract";
import { silentLogger, sleep, until, withDeadline } from "@aether/kit";
import { sql } from "kysely";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { coreConfig } from "../config.ts";
import { type RunningCore, runCore } from "../core.ts";
import { type OpenDatabase, openDatabase } from "../db/database.ts";
import type { PostgresConfig } from "../db/postgres-config.ts";
import { run } from "../run.ts";
import { postgresIsMissing } from "../testing/postgres-programs.ts";
import { type PostgresServer, startPostgres } from "../testing/postgres-server.ts";
import { takeLeadership } from "./leadership.ts";

describe("leadership", () => {
  let server: PostgresServer;
  let dir: string;
  const never = new AbortController().signal;
  beforeAll(async () => {
    if (postgresIsMissing !== undefined) return;
    dir = await mkdtemp(join(tmpdir(), "aether-core-"));
    server = await startPostgres();
  }, 60_000);
  afterAll(async () => {
    await server?.stop();
    if (dir !== undefined) await rm(dir, { recursive: true, force: true, maxRetries: 5 });
  });
  const test = (name: string, body: () => Promise<void>) =>
    it(name, async (context) => {
      if (postgresIsMissing !== undefined) context.skip(postgresIsMissing);
      await body();
    });

  let count = 0;
  const open = (owner: string, postgres: PostgresConfig) => openDatabase({ dataDir: join(dir, `${owner}${++count}`), postgres, owner });
  const parts = (owner: string, database: OpenDatabase, authorityPin = "pin") => ({
    ...{ db: database.leaderDb, claim: database.claim, evict: database.evict },
    ...{ owner, leaseMs: 1_000, address: `http://${owner}`, authorityPin, log: silentLogger },
  });
  const note = (database: OpenDatabase, id: string) => database.db.insertInto("nodes").values({ id, facts: {} }).execute();

  test("passes to a standby when the leader is not heard, and the old leader writes nothing any more", async () => {
    const postgres = await server.createDatabase();
    const [a, b] = [await open("a", postgres), await open("b", postgres)];
    const first = await takeLeadership(parts("a", a), never, () => {});
    await note(a, "by-a");
    const told: string[] = [];
    const second = takeLeadership(parts("b", b), never, (leader) => told.push(leader.address));
    await until("b to stand by", 10, 5_000, async () => (told.length > 0 ? true : undefined));
    expect(told).toEqual(["http://a"]);
    // The leader's way to the database is cut: its statements fail from now on, as after a kill or in a partition.
    await a.close();
    const lost = await first.lost;
    expect(lost.code).toBe("LEADERSHIP_LOST");
    const taken = await second;
    expect(taken.term).toBeGreaterThan(first.term);
    const { rows: unfenced } = await sql`
      select c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace
      where n.nspname = current_schema() and c.relkind in ('r', 'p') and not c.relispartition
        and not exists (select from pg_trigger t where t.tgrelid = c.oid and t.tgname = 'old_term') order by 1`.execute(b.db);
    expect(unfenced).toEqual([{ relname: "leadership" }, { relname: "schema_files" }]);
    // It comes back believing that it leads.
    const old = await open("a", postgres);
    old.claim(first.term);
    await expect(note(old, "by-old")).rejects.toMatchObject({ code: "AE001" });
    await expect(old.db.transaction().execute((tx) => tx.updateTable("guards").set({ is_paused: true }).execute())).rejects.toMatchObject({
      code: "AE001",
    });
    await note(b, "by-b");
    expect((await b.db.selectFrom("nodes").select("id").orderBy("id").execute()).map(({ id }) => id)).toEqual(["by-a", "by-b"]);
    await taken.stop();
    await Promise.all([old.close(), b.close()]);
  });

  test("ends what an old leader had begun and not committed", async () => {
    const postgres = await server.createDatabase();
    const [a, b] = [await open("a", postgres), await open("b", postgres)];
    const first = await takeLeadership(parts("a", a), never, () => {});
    const begun = Promise.withResolvers<void>();
    const half = a.db.transaction().execute(async (tx) => {
      await tx.insertInto("nodes").values({ id: "half", facts: {} }).execute();
      begun.resolve();
      await sql`select pg_sleep(20)`.execute(tx);
    });
    half.catch(() => undefined);
    await begun.promise;
    // Its lease runs out while it hangs.
    await sql`update leadership set until = clock_timestamp() - interval '1 second'`.execute(b.db);
    const second = await takeLeadership(parts("b", b), never, () => {});
    await expect(half).rejects.toThrow();
    expect((await first.lost).code).toBe("LEADERSHIP_LOST");
    expect(await b.db.selectFrom("nodes").select("id").execute()).toEqual([]);
    await second.stop();
    await Promise.all([a.close(), b.close()]);
  });

  /** As another control plane would: the lease is its own for so long. */
  const takeAway = (database: OpenDatabase, leaseMs: number, afterMs = 0) =>
    sql`update leadership set owner = 'other', address = 'http://other', term = term + 1, until = clock_timestamp() + make_interval(secs => ${leaseMs / 1000})
      from (select pg_sleep(${afterMs / 1000})) late`.execute(database.db);

  test("is kept by a leader that stood still for longer than its lease, unless another took it meanwhile", async () => {
    const postgres = await server.createDatabase();
    const [a, b] = [await open("a", postgres), await open("b", postgres)];
    const first = await takeLeadership(parts("a", a), never, () => {});
    let isLost = false;
    first.lost.then(() => {
      isLost = true;
    });
    const isHeld = async () =>
      (await sql<{ is_held: boolean }>`select owner = 'a' and until > clock_timestamp() as is_held from leadership`.execute(b.db)).rows[0]
        ?.is_held;
    standStill(1_200);
    await until("the lease to be renewed", 10, 5_000, async () => (isLost || (await isHeld()) ? true : undefined));
    expect(isLost).toBe(false);
    const taking = takeAway(b, 60_000, 300);
    await sleep(50);
    standStill(1_200);
    expect(await first.lost).toMatchObject({ code: "LEADERSHIP_LOST", message: "another control plane leads now" });
    await taking;
    await Promise.all([a.close(), b.close()]);
  });

  test("that is lost makes a control plane stand by, also when it cannot close cleanly; one that is being stopped stays stopped", async () => {
    const postgres = await server.createDatabase();
    const other = await open("other", postgres);
    const port = await freePort();
    const cores: RunningCore[] = [];
    const running = run({
      overrides: {
        ...{ dataDir: join(dir, "core-alone"), database: postgres, leadership: { leaseMs: 1_000 } },
        ...{ http: { host: "127.0.0.1", port }, agents: { host: "127.0.0.1", port: 0 } },
      },
      log: silentLogger,
      onStarted: (core) => cores.push(core),
    });
    const started = (count: number) => until("it to lead", 20, 20_000, async () => cores[count - 1], never);
    const says = () =>
      fetch(`http://127.0.0.1:${port}/readyz`).then(
        async (answer) => ((await answer.json()) as { status: string }).status,
        () => "closed",
      );
    /** What else happens while it closes. */
    const whileStopping = (core: RunningCore, also: () => Promise<void>) => {
      const { stop } = core;
      Object.assign(core, { stop: () => also().finally(stop) });
    };

    whileStopping(await started(1), async () => {
      throw fault("DEADLINE_EXCEEDED", "stopping agents' port took longer than 10000 ms");
    });
    await takeAway(other, 2_000);
    await until("it to stand by", 20, 10_000, async () => ((await says()) === "standby" ? true : undefined));
    const again = await started(2);
    expect(await says()).toBe("ok");

    whileStopping(again, async () => {
      await takeAway(other, 2_000);
      await again.died;
    });
    process.emit("SIGTERM", "SIGTERM");
    await withDeadline("it to end", 20_000, () => running);
    expect([cores.length, await says()]).toEqual([2, "closed"]);
    await other.close();
  });

  test("is refused to a control plane that speaks for another authority", async () => {
    const postgres = await server.createDatabase();
    const [a, b] = [await open("a", postgres), await open("b", postgres)];
    const first = await takeLeadership(parts("a", a), never, () => {});
    await expect(takeLeadership(parts("b", b, "other"), never, () => {})).rejects.toMatchObject({
      code: "CONFIG_INVALID",
      field: "authorityDir",
    });
    await first.stop();
    await Promise.all([a.close(), b.close()]);
  });

  test("passes at once when a whole control plane stops, and the other one knows everything", async () => {
    const database = await server.createDatabase();
    const ports = { http: { host: "127.0.0.1", port: 0 }, agents: { host: "127.0.0.1", port: 0 } };
    const config = (name: string, http = ports.http) =>
      coreConfig.parse({
        ...ports,
        http,
        database,
        trustDomain: "test.local",
        dataDir: join(dir, `core-${name}`),
        authorityDir: join(dir, "authority"),
      });
    const first = await runCore(config("a"), never, silentLogger);
    const token = (await readFile(join(dir, "core-a", "admin.token"), "utf8")).trim();
    const nodes = (core: { http: { port: number } }) =>
      fetch(`http://127.0.0.1:${core.http.port}/api/v2/guards`, { headers: { authorization: `Bearer ${token}` } });
    expect((await nodes(first)).status).toBe(200);

    const port = await freePort();
    const second: Promise<RunningCore> = runCore(config("b", { host: "127.0.0.1", port }), never, silentLogger);
    const standby = await until("the standby to answer", 50, 5_000, async () =>
      fetch(`http://127.0.0.1:${port}/readyz`).catch(() => undefined),
    );
    expect(standby.status).toBe(503);
    expect(await standby.json()).toMatchObject({ status: "standby" });
    expect((await fetch(`http://127.0.0.1:${port}/healthz`)).status).toBe(200);
    const refused = await nodes({ http: { port } });
    expect(refused.status).toBe(503);
    expect((await refused.json()) as object).toMatchObject({ error: { code: "UNAVAILABLE" } });

    await first.stop();
    const leader = await second;
    expect((await nodes(leader)).status).toBe(200);
    await leader.stop();
  });
});

/** Nothing of this process goes on meanwhile. */
const standStill = (ms: number) => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);

async function freePort(): Promise<number> {
  const { createServer } = await import("node:net");
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === "object" && address !== null ? address.port : 0;
}
