// Files that survive a kill -9 at any moment: written beside, synced, renamed.
import { mkdir, open, readFile, rename, rm } from "node:fs/promises";
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
