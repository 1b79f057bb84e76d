// Brings the schema up to the newest sql/NNNN_name.sql. Each file runs once, in a transaction, and is remembered with its sha256:
// a file that was changed after it ran, or a database newer than the program, refuses to start.
import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { fault } from "@aether/contract";
import type { Statements } from "./engine.ts";

export interface SchemaFile {
  readonly number: number;
  readonly name: string;
  readonly sql: string;
  readonly sha256: string;
}

/** packages/core/sql, the same seen from src and from dist. */
const sqlDir = new URL("../../sql/", import.meta.url);

/** The schema files in order. Throws STORAGE_FAILED when two have one number or one is missing. */
export async function readSchemaFiles(dir: URL = sqlDir): Promise<SchemaFile[]> {
  const names = (await readdir(dir)).filter((name) => name.endsWith(".sql")).sort();
  const files = await Promise.all(
    names.map(async (name) => {
      const sql = await readFile(new URL(name, dir), "utf8");
      return { number: Number(name.slice(0, 4)), name, sql, sha256: createHash("sha256").update(sql).digest("hex") };
    }),
  );
  for (const [i, file] of files.entries()) {
    if (file.number !== i + 1) throw fault("STORAGE_FAILED", `schema files must be numbered without gaps: ${file.name} is number ${i + 1}`);
  }
  return files;
}

/** Runs what has not run yet; the caller is alone with the schema. Returns the names of the files that ran now. */
export async function migrateSchema(connection: Statements, files: readonly SchemaFile[]): Promise<string[]> {
  await connection.exec(
    "create table if not exists schema_files (number integer primary key, name text not null, sha256 text not null, ran_at timestamptz not null default now())",
  );
  const done = (await connection.query("select number, name, sha256 from schema_files order by number", [])).rows as {
    number: number;
    name: string;
    sha256: string;
  }[];
  for (const row of done) {
    const file = files.find(({ number }) => number === row.number);
    if (!file) throw fault("STORAGE_FAILED", `the database was written by a newer version (${row.name} is not known here)`);
    if (file.sha256 !== row.sha256) throw fault("STORAGE_FAILED", `${file.name} was changed after it ran on this database`);
  }
  const pending = files.filter(({ number }) => number > done.length);
  for (const file of pending) {
    await connection.exec("begin");
    try {
      await connection.exec(file.sql);
      await connection.query("insert into schema_files (number, name, sha256) values ($1, $2, $3)", [file.number, file.name, file.sha256]);
      await connection.exec("commit");
    } catch (cause) {
      await connection.exec("rollback");
      throw fault("STORAGE_FAILED", `${file.name}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
    }
  }
  return pending.map(({ name }) => name);
}

/**
 * On a server that several control planes may share: a leader whose term is over writes to no table at all, also to none that a later file made. The
 * comparison itself is refuse_old_term() (0007).
 */
export async function fenceTables(connection: Statements): Promise<void> {
  await connection.exec(`
    do $$
    declare
      name text;
    begin
      for name in
        select c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where n.nspname = current_schema() and c.relkind in ('r', 'p') and not c.relispartition
          and c.relname not in ('leadership', 'schema_files')
          and not exists (select from pg_trigger t where t.tgrelid = c.oid and t.tgname = 'old_term')
      loop
        execute format('create trigger old_term before insert or update or delete on %I for each statement execute function refuse_old_term()', name);
      end loop;
    end
    $$`);
}
