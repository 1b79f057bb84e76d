// Files that survive a kill -9 at any moment: written beside, synced, renamed.
import { randomBytes } from "node:crypto";
import { chmod, lstat, mkdir, open, readFile, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { isErrno } from "./command.ts";

/** Replaces `path` in one step. The directory is made if missing; mode 0600 unless given. */
export async function writeFileAtomic(path: string, data: string | Uint8Array, mode = 0o600): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const beside = `${path}.${process.pid}.${++counter}.new`;
  try {
    const file = await open(beside, "w", mode);
    try {
      await file.writeFile(data);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(beside, path);
  } catch (caught) {
    await rm(beside, { force: true });
    throw caught;
  }
  const directory = await open(dirname(path), "r");
  await directory.sync().finally(() => directory.close());
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
