import fs from "node:fs";
import { chmod, mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PGlite } from "@electric-sql/pglite";
import { sql } from "kysely";
import { afterAll, beforeAll, expect, it, vi } from "vitest";
import { type OpenDatabase, openDatabase } from "./database.ts";
import { durableOptions } from "./durable-files.ts";
import { plantCluster } from "./seed.ts";

let dir: string;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "aether-durable-"));
});
afterAll(() => rm(dir, { recursive: true, force: true, maxRetries: 5 }));

it("brings each commit to the disk before it is answered, and a checkpoint's files with their directory", async () => {
  await plantCluster(join(dir, "database"), true);
  const reached = vi.spyOn(fs, "fsyncSync");
  const database = await PGlite.create(durableOptions(join(dir, "database")));
  try {
    await database.exec("create table t (x int)");
    const commits = async (statements: readonly string[]) => {
      const before = reached.mock.calls.length;
      for (const statement of statements) await database.exec(statement);
      return reached.mock.calls.length - before;
    };
    expect(await commits(["insert into t values (1)"])).toBe(1);
    expect(await commits(["begin", "insert into t values (2)", "insert into t values (3)"])).toBe(0);
    expect(await commits(["commit"])).toBe(1);
    expect(await commits(["select * from t"])).toBe(0);
    expect(await commits(["checkpoint"])).toBeGreaterThan(3);
  } finally {
    await database.close();
    reached.mockRestore();
  }
});

it("is how core opens its database, unless it is told otherwise", async () => {
  const open = await openDatabase({ dataDir: dir });
  const fsync = async ({ db }: OpenDatabase) => (await sql<{ fsync: string }>`show fsync`.execute(db)).rows[0]?.fsync;
  expect(await fsync(open).finally(() => open.close())).toBe("on");
  // Also where the folder around it is open to all, and of a version that left it so.
  expect((await stat(join(dir, "database"))).mode & 0o777).toBe(0o700);
  await chmod(join(dir, "database"), 0o755);
  const loose = await openDatabase({ dataDir: dir, isDurable: false });
  expect(await fsync(loose).finally(() => loose.close())).toBe("off");
  expect((await stat(join(dir, "database"))).mode & 0o777).toBe(0o700);
});
