// A backup: a tar.gz inside of an age file (https://age-encryption.org/v1), so that it can be opened without us. It is read in one transaction, that is
// one moment, into a file beside the database, and sent from there: a slow reader never holds the transaction. Without a passphrase or a recipient
// there is none: the keys of the cluster are in it.
//   backup.json, keys/authority.pem, keys/snapshot.key, tables/NAME/000001.ndjson …, end.json (rows and digests: what is missing is noticed)
import { createCipheriv, createHash, randomBytes, scrypt } from "node:crypto";
import { createReadStream, createWriteStream } from "node:fs";
import { chmod, readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGzip } from "node:zlib";
import { fault } from "@aether/contract";
import { faultpoint, type Logger } from "@aether/kit";
import { Encrypter, type Recipient, Stanza } from "age-encryption";
import { type Kysely, sql } from "kysely";
import { pack } from "tar-stream";
import type { Db } from "../db/database.ts";
import { readSchemaFiles } from "../db/migrate.ts";
import type { Database } from "../db/schema.ts";
import { newId } from "../ids.ts";
import { coreVersion } from "../version.ts";
import { backupTables, readSequences } from "./backup-tables.ts";

export interface BackupParts {
  readonly db: Db;
  readonly dataDir: string;
  /** Of authority.pem and snapshot.key. */
  readonly keyDir: string;
  readonly trustDomain: string;
  readonly nowMs: () => number;
  readonly log: Logger;
}

export interface BackupSecret {
  readonly passphrase: string;
  readonly recipients: readonly string[];
}

export interface BackupProgress {
  part: string;
  partsDone: number;
  partsTotal: number;
}

export const keyFiles = ["authority.pem", "snapshot.key"] as const;
export const backupFormat = 1;
const shortestPassphrase = 12;
const batchRows = 500;
const entryBytes = 4 << 20;
const spoolName = /^backup-.*\.spool$/;

/** Throws INVALID_ARGUMENT that names the field. */
export function encrypterFor({ passphrase, recipients }: BackupSecret): Encrypter {
  if ((passphrase === "") === (recipients.length === 0))
    throw fault("INVALID_ARGUMENT", "a backup holds the keys of the cluster: it needs either a passphrase or recipients", {
      field: passphrase === "" ? "passphrase" : "recipients",
      hint: "Give --passphrase-file, or --recipient age1….",
    });
  const encrypter = new Encrypter();
  if (passphrase !== "") {
    if (passphrase.length < shortestPassphrase || passphrase.length > 1_000)
      throw fault("INVALID_ARGUMENT", `passphrase must have ${shortestPassphrase} to 1000 characters`, { field: "passphrase" });
    encrypter.addRecipient(passphraseRecipient(passphrase));
    return encrypter;
  }
  if (recipients.length > 20) throw fault("INVALID_ARGUMENT", "there are more than 20 recipients", { field: "recipients" });
  for (const [i, recipient] of recipients.entries()) {
    try {
      encrypter.addRecipient(recipient);
    } catch (cause) {
      throw fault("INVALID_ARGUMENT", `recipients[${i}] is not a public key of age (age1…)`, { field: `recipients[${i}]`, cause });
    }
  }
  return encrypter;
}

const scryptLogN = 17;

/**
 * The scrypt recipient of age, derived beside the event loop: the library's own takes seconds on it, and notices do not wait. 128 MiB for that time.
 * https://github.com/C2SP/C2SP/blob/main/age.md#scrypt-recipient-stanza
 */
function passphraseRecipient(passphrase: string): Recipient {
  return {
    async wrapFileKey(fileKey) {
      const salt = randomBytes(16);
      const label = Buffer.concat([Buffer.from("age-encryption.org/v1/scrypt"), salt]);
      const limits = { N: 2 ** scryptLogN, r: 8, p: 1, maxmem: 2 ** scryptLogN * 8 * 128 + (32 << 20) };
      const key = await new Promise<Buffer>((resolve, reject) => {
        scrypt(passphrase, label, 32, limits, (problem, found) => (problem === null ? resolve(found) : reject(problem)));
      });
      const cipher = createCipheriv("chacha20-poly1305", key, Buffer.alloc(12), { authTagLength: 16 });
      const body = Buffer.concat([cipher.update(fileKey), cipher.final(), cipher.getAuthTag()]);
      return [new Stanza(["scrypt", salt.toString("base64").replace(/=+$/, ""), String(scryptLogN)], new Uint8Array(body))];
    },
  };
}

/** What a killed control plane left. */
export async function removeSpools(dataDir: string): Promise<void> {
  for (const name of await readdir(dataDir)) if (spoolName.test(name)) await rm(join(dataDir, name), { force: true });
}

/** Answers the file's path; whoever asked removes it. `progress` is written to as it goes. Throws DISK_FULL, STORAGE_FAILED. */
export async function writeBackup(
  parts: BackupParts,
  encrypter: Encrypter,
  withTelemetry: boolean,
  progress: BackupProgress,
  signal: AbortSignal,
): Promise<string> {
  const file = join(parts.dataDir, `backup-${newId("cmd")}.spool`);
  const archive = pack();
  const zipped = createGzip({ level: 3 });
  archive.on("error", (problem) => zipped.destroy(problem));
  archive.pipe(zipped);
  const filling = fill(parts, archive, withTelemetry, progress, signal).catch((caught: unknown) => {
    archive.destroy(caught instanceof Error ? caught : new Error(String(caught)));
    throw caught;
  });
  const sealing = (async () => {
    const sealed = await encrypter.encrypt(Readable.toWeb(zipped) as ReadableStream<Uint8Array>);
    await pipeline(Readable.fromWeb(sealed as Parameters<typeof Readable.fromWeb>[0]), createWriteStream(file, { mode: 0o600 }), {
      signal,
    });
    await chmod(file, 0o600);
  })();
  const [filled, written] = await Promise.allSettled([filling, sealing]);
  const failed = filled.status === "rejected" ? filled : written.status === "rejected" ? written : undefined;
  if (failed === undefined) return file;
  await rm(file, { force: true });
  throw failed.reason;
}

type Archive = ReturnType<typeof pack>;

async function fill(
  { db, keyDir, trustDomain, nowMs, log }: BackupParts,
  archive: Archive,
  withTelemetry: boolean,
  progress: BackupProgress,
  signal: AbortSignal,
): Promise<void> {
  const digests: Record<string, string> = {};
  const write = (name: string, text: string) => {
    digests[name] = createHash("sha256").update(text).digest("hex");
    return new Promise<void>((resolve, reject) => {
      archive.entry({ name, mode: 0o600, mtime: new Date(nowMs()) }, text, (problem) => (problem ? reject(problem) : resolve()));
    });
  };
  const schema = (await readSchemaFiles()).at(-1)?.name ?? "";
  for (const name of keyFiles) await write(`keys/${name}`, await readFile(join(keyDir, name), "utf8"));
  const startedMs = nowMs();
  await db.transaction().execute(async (tx) => {
    // Of one moment, and not in the way of who writes.
    await sql`set transaction isolation level repeatable read read only`.execute(tx);
    const tables = await backupTables(tx, withTelemetry);
    progress.partsTotal = tables.length;
    await write(
      "backup.json",
      JSON.stringify({ format: backupFormat, at: new Date(startedMs).toISOString(), coreVersion, schema, trustDomain, tables }),
    );
    const rows: Record<string, number> = {};
    for (const table of tables) {
      progress.part = table;
      rows[table] = await copyTable(tx, table, write, signal);
      progress.partsDone++;
    }
    const sequences = await readSequences(tx);
    await write("end.json", JSON.stringify({ rows, sequences, digests: { ...digests } }));
  });
  await faultpoint("core.backup.read");
  log.info({ ms: nowMs() - startedMs }, "backup.read");
  archive.finalize();
}

/** Rows as the database writes them: no number is rounded, no time cut. */
async function copyTable(
  tx: Kysely<Database>,
  table: string,
  write: (name: string, text: string) => Promise<void>,
  signal: AbortSignal,
): Promise<number> {
  await sql`declare backup_rows no scroll cursor for select to_json(t)::text as line from ${sql.table(table)} t`.execute(tx);
  let count = 0;
  let files = 0;
  let lines: string[] = [];
  let bytes = 0;
  const flush = async () => {
    if (lines.length === 0) return;
    await write(`tables/${table}/${String(++files).padStart(6, "0")}.ndjson`, `${lines.join("\n")}\n`);
    lines = [];
    bytes = 0;
  };
  for (;;) {
    signal.throwIfAborted();
    const { rows } = await sql<{ line: string }>`fetch ${sql.lit(batchRows)} from backup_rows`.execute(tx);
    for (const { line } of rows) {
      lines.push(line);
      bytes += line.length;
      if (bytes > entryBytes) await flush();
    }
    count += rows.length;
    if (rows.length < batchRows) break;
  }
  await flush();
  await sql`close backup_rows`.execute(tx);
  return count;
}

/** The file's bytes; it is gone afterwards. */
export async function* sendAndRemove(file: string): AsyncGenerator<Uint8Array> {
  try {
    for await (const chunk of createReadStream(file, { highWaterMark: 256 << 10 })) yield new Uint8Array(chunk as Buffer);
  } finally {
    await rm(file, { force: true });
  }
}
