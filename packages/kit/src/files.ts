// Files that survive a kill -9 at any moment: written beside, synced, renamed.
import { randomBytes } from "node:crypto";
import { closeSync, fsync, mkdirSync, openSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { chmod, lstat, mkdir, readFile, rename } from "node:fs/promises";
import { dirname } from "node:path";
import { promisify } from "node:util";
import { isErrno } from "./command.ts";

const synced = promisify(fsync);

/**
 * Replaces `path` in one step. The directory is made if missing; mode 0600 unless given. Only the disk is waited for: what the kernel does in memory is done
 * at once, since records are written while a workload is frozen, and each detour over Node's threads takes longer than the call.
 */
export async function writeFileAtomic(path: string, data: string | Uint8Array, mode = 0o600): Promise<void> {
  const beside = besideOf(path);
  try {
    await withFile(beside, "w", mode, (fd) => {
      writeFileSync(fd, data);
      return synced(fd);
    });
    renameSync(beside, path);
  } catch (caught) {
    rmSync(beside, { force: true });
    throw caught;
  }
  await withFile(dirname(path), "r", 0, synced);
}

/**
 * The same without waiting for the disk, for what is only true as long as this machine's memory is: whole after a kill -9 at any moment. A loss of power in the
 * next moments may leave the older file, or on some file systems an empty one.
 */
export function writeFileAtomicNow(path: string, data: string | Uint8Array, mode = 0o600): void {
  const beside = besideOf(path);
  try {
    writeFileSync(beside, data, { mode });
    renameSync(beside, path);
  } catch (caught) {
    rmSync(beside, { force: true });
    throw caught;
  }
}

/** What the above has written reaches the disk too. For who goes on meanwhile. */
export async function syncWritten(path: string): Promise<void> {
  await withFile(path, "r", 0, synced);
  await withFile(dirname(path), "r", 0, synced);
}

function besideOf(path: string): string {
  mkdirSync(dirname(path), { recursive: true });
  return `${path}.${process.pid}.${++counter}.new`;
}

async function withFile(path: string, flags: "r" | "w", mode: number, work: (fd: number) => Promise<void>): Promise<void> {
  const fd = openSync(path, flags, mode);
  try {
    await work(fd);
  } finally {
    closeSync(fd);
  }
}

let counter = 0;

/** The file's text, or undefined when there is none; also for a file in /proc whose process has just ended. */
export async function readTextIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (caught) {
    if (isErrno(caught, "ENOENT", "ENOTDIR", "ESRCH")) return undefined;
    throw caught;
  }
}

/** The same at once, for small files of our own that are in the kernel's memory. */
export function readTextNow(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (caught) {
    if (isErrno(caught, "ENOENT", "ENOTDIR", "ESRCH")) return undefined;
    throw caught;
  }
}

/**
 * A directory that only we can enter, at a known name in a place where anybody may make names (/dev/shm). What somebody else has put there, a link as well, is
 * moved out of the way: it must neither hold our secrets nor keep us from starting. Throws EEXIST where it is put there again at once.
 */
export async function makePrivateDir(path: string): Promise<void> {
  const found = await lstat(path).catch((caught: unknown) => {
    if (isErrno(caught, "ENOENT")) return undefined;
    throw caught;
  });
  if (found?.isDirectory() && found.uid === process.geteuid?.()) return chmod(path, 0o700);
  if (found !== undefined) await rename(path, `${path}.${randomBytes(6).toString("hex")}.not-ours`);
  await mkdir(path, { mode: 0o700 });
}
