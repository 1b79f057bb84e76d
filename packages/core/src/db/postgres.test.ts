// What only a server can show: several control planes on one database, a server that goes away, a configuration that is not whole.
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sql } from "kysely";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { coreConfig } from "../config.ts";
import { createEvents } from "../events/events.ts";
import { createJournal } from "../migration/journal.ts";
import { postgresIsMissing } from "../testing/postgres-programs.ts";
import { type PostgresServer, startPostgres } from "../testing/postgres-server.ts";
import { type OpenDatabase, openDatabase } from "./database.ts";
import type { PostgresConfig } from "./postgres-config.ts";

const event = (message: string) => ({ type: "test.event", subject: "core", message });

describe("a PostgreSQL server", () => {
  let server: PostgresServer;
  let dir: string;
  let count = 0;
  const opened: OpenDatabase[] = [];
  const open = async (postgres: PostgresConfig) => {
    const database = await openDatabase({ dataDir: join(dir, String(++count)), postgres });
    opened.push(database);
    return database;
  };
  beforeAll(async () => {
    if (postgresIsMissing !== undefined) return;
    dir = await mkdtemp(join(tmpdir(), "aether-core-"));
    server = await startPostgres();
  }, 60_000);
  afterAll(async () => {
    await Promise.all(opened.map((database) => database.close()));
    await server?.stop();
    if (dir !== undefined) await rm(dir, { recursive: true, force: true, maxRetries: 5 });
  });
  const test = (name: string, body: () => Promise<void>) =>
    it(name, async (context) => {
      if (postgresIsMissing !== undefined) context.skip(postgresIsMissing);
      await body();
    });

  test("is brought up to date by one of five that start at once, and shared by all", async () => {
    const postgres = await server.createDatabase();
    const cores = await Promise.all(Array.from({ length: 5 }, () => open(postgres)));
    const [first, last] = [cores[0]!, cores[4]!];
    const files = await sql<{ number: number }>`select number from schema_files order by number`.execute(first.db);
    expect(files.rows.map(({ number }) => number)).toEqual(files.rows.map((_, i) => i + 1));
    await first.db.insertInto("nodes").values({ id: "shared", facts: {} }).execute();
    expect(await last.db.selectFrom("nodes").select("id").execute()).toEqual([{ id: "shared" }]);
  });

  // A renewal of many leases at once that waited for a move that is just being written, while it held others, was a deadlock in every wave.
  test("renews leases without waiting for a move that is being written", async () => {
    const postgres = await server.createDatabase();
    const { db, notices } = await open(postgres);
    const lease = { owner: "ses-1", leaseMs: 10_000, isExclusive: false };
    const journal = createJournal(db, createEvents(db, notices), lease);
    const [a, b] = ["a", "b"];
    const row = (workload: string) => ({
      id: `mig-${workload}`,
      workload,
      source_node_id: "n1",
      target_node_id: "n2",
      state: "planned" as const,
      requested_mode: "auto" as const,
      epoch_before: 1,
      cause: "operator",
    });
    await db
      .insertInto("migrations")
      .values([row(a), row(b)])
      .execute();
    expect(await journal.take(["mig-a", "mig-b"], 1_000)).toHaveLength(2);
    const untilOf = async (id: string) =>
      (await db.selectFrom("migrations").select("lease_until").where("id", "=", id).executeTakeFirstOrThrow()).lease_until?.getTime();
    await db.transaction().execute(async (tx) => {
      await tx.updateTable("migrations").set({ updated_at: new Date() }).where("id", "=", "mig-b").execute();
      await journal.renew(["mig-a", "mig-b"], 50_000);
      expect(await untilOf("mig-a")).toBe(60_000);
    });
    expect(await untilOf("mig-b")).toBe(11_000);
  });

  test("numbers events in the order in which their transactions commit, for a watcher in another process", async () => {
    const postgres = await server.createDatabase();
    const [writer, reader] = [await open(postgres), await open(postgres)];
    const [writing, reading] = [createEvents(writer.db, writer.notices), createEvents(reader.db, reader.notices)];
    await writing.append(writer.db, event("first"));
    const abort = new AbortController();
    const seen: [sequence: bigint, message: string][] = [];
    const watching = (async () => {
      for await (const { sequence, message } of reading.watch({ after: 1 }, abort.signal)) seen.push([sequence, message]);
    })();
    // The slow one inserts first and commits last: what comes before it must not hide it.
    const [inserted, overtaken] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const slow = writer.db.transaction().execute(async (tx) => {
      await writing.append(tx, event("slow"));
      inserted.resolve();
      await overtaken.promise;
    });
    await inserted.promise;
    await Promise.all(Array.from({ length: 20 }, (_, i) => writing.append(writer.db, event(`quick ${i}`))));
    overtaken.resolve();
    await slow;
    await expect.poll(() => seen.length, { timeout: 5_000 }).toBe(21);
    expect(seen.map(([sequence]) => Number(sequence))).toEqual(Array.from({ length: 21 }, (_, i) => i + 2));
    expect(seen.at(-1)?.[1]).toBe("slow");
    abort.abort();
    await watching;
  });

  test("may be killed and come back: what waited goes on, notices too, and nothing committed is lost", async () => {
    const database = await open(await server.createDatabase());
    const events = createEvents(database.db, database.notices);
    await events.append(database.db, event("before"));
    await events.append(database.db, event("seen"));
    const abort = new AbortController();
    const seen: string[] = [];
    const watching = (async () => {
      for await (const { message } of events.watch({ after: 1 }, abort.signal)) seen.push(message);
    })();
    await expect.poll(() => seen).toEqual(["seen"]);
    await server.kill();
    await expect(events.append(database.db, event("lost"))).rejects.toMatchObject({
      code: "STORAGE_FAILED",
      message: "the database does not answer now",
    });
    await server.start();
    await expect
      .poll(
        async () =>
          database.db
            .selectFrom("events")
            .select("message")
            .execute()
            .catch(() => []),
        { timeout: 10_000 },
      )
      .toEqual([{ message: "before" }, { message: "seen" }]);
    await events.append(database.db, event("after"));
    await expect.poll(() => seen, { timeout: 10_000 }).toEqual(["seen", "after"]);
    abort.abort();
    await watching;
  });

  test("that cannot be used is said at the start: no such database, no such server, a password file that is not there", async () => {
    const postgres = await server.createDatabase();
    await expect(open({ ...postgres, name: "nowhere" })).rejects.toMatchObject({
      code: "STORAGE_FAILED",
      message: expect.stringContaining("nowhere"),
    });
    await expect(open({ ...postgres, host: dir })).rejects.toMatchObject({ code: "STORAGE_FAILED" });
    await expect(open({ ...postgres, passwordFile: join(dir, "absent") })).rejects.toMatchObject({
      code: "CONFIG_INVALID",
      message: expect.stringContaining("absent"),
    });
    const file = join(dir, "password");
    await writeFile(file, "not asked for\n");
    await open({ ...postgres, passwordFile: file });
  });
});

describe("a database's configuration", () => {
  const parse = (database: unknown) => coreConfig.safeParse({ dataDir: "/var/lib/aether", database });

  it("is whole or absent: a half never means the embedded database", () => {
    expect(parse(undefined).data?.database).toBeUndefined();
    expect(parse({}).data?.database).toBeUndefined();
    expect(parse({ host: "db", name: "aether", user: "aether" }).data?.database).toMatchObject({ port: 5432, tls: "off" });
    for (const half of [
      { host: "db" },
      { host: "db", user: "a" },
      { name: "a", user: "a" },
      { passwordFile: "/run/secret" },
      { port: 5432 },
      { poolSize: 4 },
    ]) {
      const result = parse(half);
      expect(result.success).toBe(false);
      expect(result.error?.issues[0]?.path[0]).toBe("database");
    }
    expect(parse({ host: "db", name: "a", user: "a", password: "in the open" }).success).toBe(false);
    expect(parse(null).success).toBe(false);
  });
});
