// What a PostgreSQL server does by itself. The embedded one has no background processes: without this its tables grow with every row that was ever deleted or
// changed, its planner never learns what is in them, and after some two thousand million transactions it would take no more (routine vacuuming, PostgreSQL's manual).
import { sql } from "kysely";
import type { Db } from "./database.ts";

/**
 * Makes room of what dead rows take, of the catalogue's too. One table a turn, so that others come between: some milliseconds each, more after a large cut.
 * Throws what the database throws.
 */
export async function vacuumAll(db: Db, signal?: AbortSignal): Promise<void> {
  const { rows } = await sql<{ name: string }>`
    select c.oid::regclass::text as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.relkind = 'r' and not c.relisshared and n.nspname in ('public', 'pg_catalog') order by n.nspname desc, c.relname`.execute(db);
  for (const { name } of rows) {
    if (signal?.aborted) return;
    await sql`vacuum (analyze) ${sql.raw(name)}`.execute(db); // a regclass as text is quoted as SQL wants it
  }
}
