// An empty database cluster, made once by a child process and copied from then on: initdb in WASM takes 7 to 10 s and leaves
// 200 MB resident in the process that ran it; a copy of its 39 MB takes 0.1 s.
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { access, appendFile, chmod, constants, mkdir, open, readdir, readFile, rename, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { fault } from "@aether/contract";
import { isErrno, run, until } from "@aether/kit";
import { acquireLock } from "./lock-file.ts";

/** The package's root, the same seen from src and from dist. */
const packageRoot = fileURLToPath(new URL("../../", import.meta.url));

/** Where the empty cluster is kept: beside the code, out of git. */
const cacheDir = join(packageRoot, ".cache");

/**
 * PostgreSQL's defaults are for a server of its own: 145 MB of shared memory, all of it touched at the start. Core with these settings was
 * seen at 240 MB resident instead of 430. One connection, so no locks and buffers for a hundred; no replicas, so the least of WAL.
 */
const settings = `
shared_buffers = 16MB
wal_buffers = 512kB
max_connections = 5
max_wal_size = 64MB
min_wal_size = 32MB
wal_level = minimal
max_wal_senders = 0
autovacuum_worker_slots = 1
jit = off
`;

/** Makes the seed if it is missing; takes 7 to 10 s then. Safe to call from several processes at once. Returns its directory. */
export async function prepareSeed(signal?: AbortSignal): Promise<string> {
  const fingerprint = createHash("sha256").update(settings).digest("hex").slice(0, 8);
  const seed = join(cacheDir, `cluster-${await pgliteVersion()}-${fingerprint}`);
  if (await isThere(join(seed, "PG_VERSION"))) return seed;
  await mkdir(cacheDir, { recursive: true });
  const lock = await until("making the empty database cluster", 200, 120_000, () => tryLock(`${seed}.lock`), signal);
  try {
    if (!(await isThere(join(seed, "PG_VERSION")))) await makeCluster(seed, signal);
  } finally {
    await lock.release();
  }
  return seed;
}

/**
 * Makes `dir` a copy of the seed in one step: a kill in the middle leaves nothing that looks like a cluster. It is nobody else's to read, also where the
 * folder around it is open to all, as service managers make theirs.
 */
export async function plantCluster(dir: string, isDurable: boolean, signal?: AbortSignal): Promise<void> {
  if (await isThere(join(dir, "PG_VERSION"))) return chmod(dir, 0o700);
  await mkdir(dirname(dir), { recursive: true });
  const beside = `${dir}.new`;
  await rm(beside, { recursive: true, force: true });
  const seed = await prepareSeed(signal).catch((caught: unknown) => {
    // A read-only installation has no place for a seed: the cluster is then made where it is needed.
    if (isErrno(caught, "EACCES", "EROFS")) return undefined;
    throw caught;
  });
  if (seed === undefined || !(await isOurs(seed))) await makeCluster(dir, signal);
  else {
    // The system's cp takes 0.1 s for its 1,300 files, Node's own 1 to 2.5 s.
    await run("cp", ["-R", "--", seed, beside], { deadlineMs: 60_000, signal });
    if (isDurable) await syncTree(beside);
    await rename(beside, dir);
  }
  await chmod(dir, 0o700);
  if (isDurable) await syncOne(dirname(dir));
}

/** To the disk, all of it: a loss of power must not leave a cluster of which a part is missing. About 0.5 s for its 1,300 files. */
async function syncTree(dir: string): Promise<void> {
  const entries = await readdir(dir, { recursive: true, withFileTypes: true });
  const paths = [dir, ...entries.map((entry) => join(entry.parentPath, entry.name))];
  for (let i = 0; i < paths.length; i += 32) await Promise.all(paths.slice(i, i + 32).map(syncOne));
}

async function syncOne(path: string): Promise<void> {
  const file = await open(path, "r");
  await file.sync().finally(() => file.close());
}

async function makeCluster(dir: string, signal: AbortSignal | undefined): Promise<void> {
  const beside = `${dir}.${process.pid}.new`;
  await rm(beside, { recursive: true, force: true });
  const program = `
    const { PGlite } = await import(${JSON.stringify(pgliteEntry())});
    const database = await PGlite.create({ dataDir: ${JSON.stringify(beside)} });
    await database.close();`;
  try {
    await promisify(execFile)(process.execPath, ["--input-type=module", "--eval", program], {
      timeout: 120_000,
      killSignal: "SIGKILL",
      ...(signal ? { signal } : {}),
    });
    await appendFile(join(beside, "postgresql.conf"), settings);
    await rename(beside, dir);
  } catch (cause) {
    await rm(beside, { recursive: true, force: true });
    if (signal?.aborted) throw signal.reason;
    throw fault("STORAGE_FAILED", `cannot make a database in ${dir}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }
}

const pgliteEntry = () => import.meta.resolve("@electric-sql/pglite");

async function pgliteVersion(): Promise<string> {
  const file = createRequire(import.meta.url).resolve("@electric-sql/pglite");
  const manifest: unknown = JSON.parse(await readFile(join(dirname(file), "..", "package.json"), "utf8"));
  return typeof manifest === "object" && manifest !== null && "version" in manifest ? String(manifest.version) : "unknown";
}

async function tryLock(path: string) {
  try {
    return await acquireLock(path);
  } catch (caught) {
    if (caught instanceof Error && "code" in caught && caught.code === "LOCKED") return undefined;
    throw caught;
  }
}

/** A seed that root made (by preparing the machine) cannot be read by another user, who then makes a cluster of his own. */
async function isOurs(seed: string): Promise<boolean> {
  return access(join(seed, "pg_logical/replorigin_checkpoint"), constants.R_OK).then(
    () => true,
    () => false,
  );
}

async function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
