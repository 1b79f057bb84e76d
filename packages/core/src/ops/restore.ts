// A control plane out of a backup: keys into an empty directory, rows into an empty database, all or nothing. Run while no control plane runs there.
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { createGunzip } from "node:zlib";
import { Fault, fault } from "@aether/contract";
import { type Logger, readTextIfThere, silentLogger, writeFileAtomic } from "@aether/kit";
import { Decrypter } from "age-encryption";
import { type Kysely, sql } from "kysely";
import { extract } from "tar-stream";
import { z } from "zod";
import type { CoreConfig } from "../config.ts";
import { openDatabase } from "../db/database.ts";
import { readSchemaFiles } from "../db/migrate.ts";
import type { Database } from "../db/schema.ts";
import { backupFormat, keyFiles } from "./backup.ts";

export interface RestoreOptions {
  readonly file: string;
  readonly config: CoreConfig;
  readonly passphrase?: string;
  /** AGE-SECRET-KEY-1… */
  readonly identities?: readonly string[];
  readonly log?: Logger;
  readonly onTable?: (table: string, rows: number) => void;
}

export interface Restored {
  readonly at: string;
  readonly coreVersion: string;
  readonly rows: Readonly<Record<string, number>>;
}

const head = z.object({
  format: z.number(),
  at: z.string(),
  coreVersion: z.string(),
  schema: z.string(),
  trustDomain: z.string(),
  tables: z.array(z.string().regex(/^[a-z_]{1,60}$/)),
});
const end = z.object({
  rows: z.record(z.string(), z.number()),
  sequences: z.array(z.object({ name: z.string().regex(/^[a-z_]{1,80}$/), value: z.string().regex(/^\d{1,19}$/) })),
  digests: z.record(z.string(), z.string()),
});
const largestEntry = 64 << 20;

/** Throws BACKUP_UNREADABLE (not a backup, damaged, or another passphrase), PRECONDITION_FAILED (something is there already), STORAGE_FAILED, LOCKED. */
export async function restoreBackup(options: RestoreOptions, signal?: AbortSignal): Promise<Restored> {
  const { config, log = silentLogger } = options;
  const keyDir = config.authorityDir ?? config.dataDir;
  await mkdir(config.dataDir, { recursive: true, mode: 0o700 });
  await mkdir(keyDir, { recursive: true, mode: 0o700 });
  const database = await openDatabase(
    { dataDir: config.dataDir, postgres: config.database, isDurable: config.embeddedDatabase.isDurable, log },
    signal,
  );
  try {
    await refuseUsed(database.db);
    const keys = new Map<string, string>();
    const restored = await database.db.transaction().execute(async (tx) => {
      const found = await load(tx, options, keys);
      // Before the commit: a database without its keys is worth nothing, keys without a database do no harm.
      await putKeys(keyDir, keys);
      return found;
    });
    return restored;
  } finally {
    await database.close();
  }
}

async function refuseUsed(db: Kysely<Database>): Promise<void> {
  const { rows } = await sql<{ used: boolean }>`
    select exists (select 1 from audit) or exists (select 1 from nodes) or exists (select 1 from workloads) or exists (select 1 from events) as used`.execute(
    db,
  );
  if (rows[0]?.used !== true) return;
  throw fault("PRECONDITION_FAILED", "the database is in use: a backup is restored into an empty one only", {
    hint: "Name another dataDir or database, or move the old one away.",
  });
}

async function load(tx: Kysely<Database>, options: RestoreOptions, keys: Map<string, string>): Promise<Restored> {
  const digests = new Map<string, string>();
  const rows: Record<string, number> = {};
  let about: z.infer<typeof head> | undefined;
  let closing: z.infer<typeof end> | undefined;
  for await (const { name, text } of entriesOf(options)) {
    if (closing !== undefined) throw unreadable(`${name} comes after the end`);
    if (name === "end.json") {
      closing = parse(end, text, name);
      continue;
    }
    digests.set(name, createHash("sha256").update(text).digest("hex"));
    const table = /^tables\/([a-z_]+)\/\d+\.ndjson$/.exec(name)?.[1];
    if (name === "backup.json") {
      about = await checkHead(parse(head, text, name), options.config);
      for (const each of about.tables.toReversed()) await empty(tx, each);
    } else if (name.startsWith("keys/")) keys.set(name.slice(5), text);
    else if (table !== undefined && about?.tables.includes(table)) {
      const lines = text.trimEnd().split("\n");
      await insert(tx, table, lines);
      rows[table] = (rows[table] ?? 0) + lines.length;
      options.onTable?.(table, rows[table]);
    } else throw unreadable(`it has ${name}, which this version does not know`);
  }
  if (about === undefined || closing === undefined) throw unreadable("it has no end: it was cut off");
  for (const [name, digest] of Object.entries(closing.digests))
    if (digests.get(name) !== digest) throw unreadable(`${name} is not what was written`);
  for (const [table, count] of Object.entries(closing.rows)) {
    if ((rows[table] ?? 0) !== count) throw unreadable(`${table} has ${rows[table] ?? 0} rows of ${count}`);
    await sql`alter table ${sql.table(table)} enable trigger user`.execute(tx);
  }
  // What somebody wanted then is not begun now.
  await tx
    .updateTable("runbook_runs")
    .set({ state: "cancelled", ended_at: sql`now()`, is_cancel_requested: true, cancelled_by: "restore" })
    .where("ended_at", "is", null)
    .execute();
  for (const { name, value } of closing.sequences)
    await sql`select setval(to_regclass(${name}), ${sql.lit(BigInt(value))}) where to_regclass(${name}) is not null`.execute(tx);
  return { at: about.at, coreVersion: about.coreVersion, rows };
}

async function checkHead(about: z.infer<typeof head>, config: CoreConfig): Promise<z.infer<typeof head>> {
  if (about.format !== backupFormat) throw unreadable(`its format is ${about.format}; this version knows ${backupFormat}`);
  const known = await readSchemaFiles();
  if (!known.some(({ name }) => name === about.schema))
    throw fault("PRECONDITION_FAILED", `it was made by a newer version (${about.coreVersion}, schema ${about.schema})`, {
      hint: "Restore it with that version or a newer one.",
    });
  if (about.trustDomain !== config.trustDomain)
    throw fault("PRECONDITION_FAILED", `it is of the trust domain ${about.trustDomain}, the configuration says ${config.trustDomain}`, {
      hint: `Set trustDomain: ${about.trustDomain}.`,
    });
  return about;
}

/** Rows that the schema itself brings go, and what triggers would do has been done already. */
async function empty(tx: Kysely<Database>, table: string): Promise<void> {
  await sql`alter table ${sql.table(table)} disable trigger user`.execute(tx);
  await sql`delete from ${sql.table(table)}`.execute(tx);
}

/** Only the columns that the backup has: those that came later keep their defaults. What the database computes it computes again. */
async function insert(tx: Kysely<Database>, table: string, lines: readonly string[]): Promise<void> {
  const batch = 500;
  const { rows } = await sql<{ name: string }>`
    select column_name::text as name from information_schema.columns
    where table_schema = current_schema() and table_name = ${table} and is_generated = 'NEVER'`.execute(tx);
  const plain = new Set(rows.map(({ name }) => name));
  for (let from = 0; from < lines.length; from += batch) {
    const some = lines.slice(from, from + batch);
    const columns = Object.keys(JSON.parse(some[0] ?? "{}") as object).filter((column) => plain.has(column));
    const list = sql.join(columns.map((column) => sql.ref(column)));
    await sql`insert into ${sql.table(table)} (${list}) select ${list} from json_populate_recordset(null::${sql.table(table)}, ${`[${some.join(",")}]`}::json)`.execute(
      tx,
    );
  }
}

async function putKeys(dir: string, keys: ReadonlyMap<string, string>): Promise<void> {
  for (const name of keyFiles) {
    const text = keys.get(name);
    if (text === undefined) throw unreadable(`${name} is missing`);
    const there = await readTextIfThere(join(dir, name));
    if (there !== undefined && there !== text)
      throw fault("PRECONDITION_FAILED", `${join(dir, name)} is there already, and another one`, {
        hint: "Move it away, or name another directory.",
      });
    if (there === undefined) await writeFileAtomic(join(dir, name), text);
  }
}

async function* entriesOf({ file, passphrase, identities = [] }: RestoreOptions): AsyncGenerator<{ name: string; text: string }> {
  const decrypter = new Decrypter();
  try {
    if (passphrase !== undefined) decrypter.addPassphrase(passphrase);
    for (const identity of identities) decrypter.addIdentity(identity);
  } catch (cause) {
    throw fault("INVALID_ARGUMENT", "the identity is not a private key of age (AGE-SECRET-KEY-1…)", { field: "identity", cause });
  }
  const archive = extract();
  try {
    const sealed = Readable.toWeb(createReadStream(file)) as ReadableStream<Uint8Array>;
    const opened = await decrypter.decrypt(sealed);
    const zipped = Readable.fromWeb(opened as Parameters<typeof Readable.fromWeb>[0]);
    const plain = zipped.pipe(createGunzip());
    zipped.on("error", (problem) => plain.destroy(problem));
    plain.on("error", (problem) => archive.destroy(problem));
    plain.pipe(archive);
    for await (const entry of archive) {
      if ((entry.header.size ?? 0) > largestEntry) throw unreadable(`${entry.header.name} is larger than any part of a backup`);
      const chunks: Buffer[] = [];
      for await (const chunk of entry) chunks.push(chunk as Buffer);
      yield { name: entry.header.name, text: Buffer.concat(chunks).toString("utf8") };
    }
  } catch (caught) {
    if (caught instanceof Fault) throw caught;
    throw unreadable(caught instanceof Error ? caught.message : String(caught), caught);
  } finally {
    archive.destroy();
  }
}

function parse<Schema extends z.ZodType>(schema: Schema, text: string, name: string): z.infer<Schema> {
  try {
    return schema.parse(JSON.parse(text));
  } catch (cause) {
    throw unreadable(`${name} is not what it should be`, cause);
  }
}

const unreadable = (why: string, cause?: unknown): Fault => fault("BACKUP_UNREADABLE", why, cause === undefined ? {} : { cause });
