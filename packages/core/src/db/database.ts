// The control plane's database. By default its own: PostgreSQL in WASM, in a thread, in a directory that this process alone may use; a
// kill -9 or a loss of power at any moment is a crash of PostgreSQL like any other, its write-ahead log is replayed at the next start. With `database`
// configured: a PostgreSQL server, which several control planes may share. One schema, one dialect, the same statements on both.
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { Fault } from "@aether/contract";
import { type Logger, silentLogger } from "@aether/kit";
import { Kysely } from "kysely";
import { newId } from "../ids.ts";
import { type CommitHook, withCommitHook } from "./commit-hook.ts";
import type { Engine, Notices } from "./engine.ts";
import { acquireLock } from "./lock-file.ts";
import { fenceTables, migrateSchema, readSchemaFiles } from "./migrate.ts";
import { openPglite } from "./pglite.ts";
import { openPostgres } from "./postgres.ts";
import type { PostgresConfig } from "./postgres-config.ts";
import type { Database } from "./schema.ts";
import { plantCluster } from "./seed.ts";

export type Db = Kysely<Database>;

export interface OpenDatabase {
  readonly db: Db;
  /** embedded: no other process works on this database. */
  readonly engine: Engine["name"];
  /** What processes on this database tell each other. */
  readonly notices: Notices;
  /** Resolves with the reason if the database ends by itself; the process must then end too. */
  readonly died: Promise<Fault>;
  /** See leader/leadership.ts. */
  /** For the leadership alone. */
  readonly leaderDb: Db;
  readonly claim: Engine["claim"];
  readonly evict: Engine["evict"];
  close(): Promise<void>;
}

export interface DatabaseOptions {
  /** Of this process alone, also where the database is a server. */
  readonly dataDir: string;
  /** Undefined: the embedded one. */
  readonly postgres?: PostgresConfig | undefined;
  /** Of the embedded one: a commit waits for the disk. Without it a kill -9 loses nothing, a loss of power may. Default true. */
  readonly isDurable?: boolean;
  /** Says something more with transactions before they commit. */
  readonly hook?: CommitHook;
  readonly log?: Logger;
  /** Names this process among those on the database. */
  readonly owner?: string;
}

/** Opens (and makes, and migrates) the database. Throws LOCKED, STORAGE_FAILED, DISK_FULL, CONFIG_INVALID. */
export async function openDatabase(options: DatabaseOptions, signal?: AbortSignal): Promise<OpenDatabase> {
  const { dataDir, postgres, isDurable = true, hook, log = silentLogger, owner = newId("ses") } = options;
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  const lock = await acquireLock(join(dataDir, "core.lock"));
  try {
    const files = await readSchemaFiles();
    const engine =
      postgres === undefined ? await openEmbedded(join(dataDir, "database"), isDurable, signal) : await openPostgres(postgres, owner, log);
    try {
      await engine.alone(async (connection) => {
        for (const name of await migrateSchema(connection, files)) log.info({ file: name }, "database.migrated");
        if (postgres !== undefined) await fenceTables(connection);
      });
    } catch (caught) {
      await engine.close();
      throw caught;
    }
    const db = new Kysely<Database>({ dialect: hook === undefined ? engine.dialect : withCommitHook(engine.dialect, hook) });
    const leaderDb = engine.leaderDialect === undefined ? db : new Kysely<Database>({ dialect: engine.leaderDialect });
    return {
      db,
      engine: engine.name,
      notices: engine.notices,
      died: engine.died,
      leaderDb,
      claim: (term) => engine.claim(term),
      evict: (other) => engine.evict(other),
      async close() {
        try {
          await db.destroy();
          if (leaderDb !== db) await leaderDb.destroy();
          await engine.close();
        } finally {
          await lock.release();
        }
      },
    };
  } catch (caught) {
    await lock.release();
    throw caught;
  }
}

async function openEmbedded(dir: string, isDurable: boolean, signal: AbortSignal | undefined): Promise<Engine> {
  await plantCluster(dir, isDurable, signal);
  return openPglite({ dir, isDurable });
}
