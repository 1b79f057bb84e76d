// The control plane's own database: PostgreSQL in WASM, in a thread, in a directory that this process alone may use.
// A kill -9 at any moment is a crash of PostgreSQL like any other: its write-ahead log is replayed at the next start.
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { Fault } from "@aether/contract";
import { Kysely } from "kysely";
import { acquireLock } from "./lock-file.ts";
import { migrateSchema, readSchemaFiles } from "./migrate.ts";
import { openPgliteThread, pgliteDialect } from "./pglite.ts";
import type { Database } from "./schema.ts";
import { plantCluster } from "./seed.ts";

export type Db = Kysely<Database>;

export interface OpenDatabase {
  readonly db: Db;
  /** Resolves with the reason if the database ends by itself; the process must then end too. */
  readonly died: Promise<Fault>;
  close(): Promise<void>;
}

/** Opens (and makes, and migrates) the database in `dataDir`. Throws LOCKED, STORAGE_FAILED, DISK_FULL. */
export async function openDatabase(dataDir: string, signal?: AbortSignal): Promise<OpenDatabase> {
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  const lock = await acquireLock(join(dataDir, "core.lock"));
  try {
    const files = await readSchemaFiles();
    await plantCluster(join(dataDir, "database"), signal);
    const thread = await openPgliteThread(join(dataDir, "database"));
    try {
      await migrateSchema(thread, files);
    } catch (caught) {
      await thread.close();
      throw caught;
    }
    const db = new Kysely<Database>({ dialect: pgliteDialect(thread) });
    return {
      db,
      died: thread.died,
      async close() {
        try {
          await db.destroy();
          await thread.close();
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
