// Which tables a backup holds, in an order in which they can be filled again, and what is put back after them.
import { type Kysely, sql } from "kysely";
import type { Database } from "../db/schema.ts";

/** Of one process or of one day: worth nothing elsewhere. */
const never = new Set([
  "leadership",
  "idempotency_keys",
  "sign_in_links",
  "sign_in_failures",
  "oracle_samples",
  "sessions",
  "schema_files",
]);
/** Large, and of use to graphs alone. */
const bulky = new Set(["telemetry", "telemetry_samples"]);

/** Names of tables, those that others refer to first. */
export async function backupTables(db: Kysely<Database>, withTelemetry: boolean): Promise<string[]> {
  const { rows } = await sql<{ name: string; parents: string[] }>`
    select c.relname as name,
      coalesce(array_agg(p.relname::text) filter (where p.relname is not null and p.oid <> c.oid), '{}') as parents
    from pg_class c
    join pg_namespace n on n.oid = c.relnamespace
    left join pg_constraint f on f.conrelid = c.oid and f.contype = 'f'
    left join pg_class p on p.oid = f.confrelid
    where n.nspname = current_schema() and c.relkind in ('r', 'p') and not c.relispartition
    group by c.relname order by c.relname`.execute(db);
  const wanted = rows.filter(({ name }) => !never.has(name) && (withTelemetry || !bulky.has(name)));
  const done: string[] = [];
  const left = new Map(wanted.map(({ name, parents }) => [name, parents.filter((parent) => wanted.some((each) => each.name === parent))]));
  while (left.size > 0) {
    const free = [...left].filter(([, parents]) => parents.every((parent) => done.includes(parent))).map(([name]) => name);
    // A circle of references would be a mistake of the schema: better an order that fails loudly when it is filled.
    for (const name of free.length > 0 ? free : [...left.keys()]) {
      done.push(name);
      left.delete(name);
    }
  }
  return done;
}

/** Sequences go on after what is there. */
export async function readSequences(db: Kysely<Database>): Promise<{ name: string; value: string }[]> {
  const { rows } = await sql<{ name: string; value: string | null }>`
    select sequencename as name, last_value::text as value from pg_sequences where schemaname = current_schema() order by 1`.execute(db);
  return rows.flatMap(({ name, value }) => (value === null ? [] : [{ name, value }]));
}
