// One process a directory. The lock names its holder by pid, start time and boot, so the lock of a killed process is taken over
// at once, also when its pid belongs to somebody else by now; the lock of a live process is LOCKED.
import { link, open, readFile, rename, rm } from "node:fs/promises";
import { fault } from "@aether/contract";
import { isErrno, readTextIfThere } from "@aether/kit";

export interface HeldLock {
  /** Removes the lock, if it is still this process's. */
  release(): Promise<void>;
}

/** Takes the lock. Throws LOCKED naming the holder's pid. */
export async function acquireLock(path: string): Promise<HeldLock> {
  const mine = await describe(process.pid);
  if (mine === undefined) throw fault("INTERNAL", "this process is not to be found in /proc");
  for (let attempt = 0; attempt < 10; attempt++) {
    if (await createExclusively(path, mine)) return { release: () => release(path, mine) };
    const held = await readTextIfThere(path);
    if (held === undefined) continue;
    // A file without content is being written by its maker, or was left by a kill between the making and the writing.
    if (held === "" && attempt < 3) {
      await new Promise((resolve) => setTimeout(resolve, 50));
      continue;
    }
    const pid = Number(held.split(" ")[0]);
    if (held !== "" && (await describe(pid)) === held) {
      throw fault("LOCKED", `${path} is held by process ${pid}`, { details: { path, pid: String(pid) } });
    }
    await removeStale(path, held);
  }
  throw fault("LOCKED", `${path}: another process takes it over at this very moment`, { details: { path } });
}

async function createExclusively(path: string, text: string): Promise<boolean> {
  try {
    const file = await open(path, "wx", 0o600);
    await file.writeFile(text).finally(() => file.close());
    return true;
  } catch (caught) {
    if (isErrno(caught, "EEXIST")) return false;
    throw caught;
  }
}

/** Moves the stale lock aside first: if it turns out to be a fresh one, made by a faster process meanwhile, it is put back. */
async function removeStale(path: string, stale: string): Promise<void> {
  const aside = `${path}.${process.pid}.stale`;
  try {
    await rename(path, aside);
    if ((await readFile(aside, "utf8")) !== stale) await link(aside, path);
  } catch (caught) {
    if (!isErrno(caught, "ENOENT", "EEXIST")) throw caught;
  } finally {
    await rm(aside, { force: true });
  }
}

async function release(path: string, mine: string): Promise<void> {
  if ((await readTextIfThere(path)) === mine) await rm(path, { force: true });
}

/** "PID STARTTIME BOOT", or undefined when there is no such process. Start time: field 22 of /proc/PID/stat, proc(5). */
async function describe(pid: number): Promise<string | undefined> {
  if (!Number.isInteger(pid) || pid <= 0) return undefined;
  const stat = await readTextIfThere(`/proc/${pid}/stat`).catch((caught: unknown) => {
    if (isErrno(caught, "ESRCH")) return undefined;
    throw caught;
  });
  if (stat === undefined) return undefined;
  // The command in parentheses may hold spaces and parentheses itself.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  if (fields[0] === "Z" || fields[0] === "X") return undefined;
  const boot = (await readFile("/proc/sys/kernel/random/boot_id", "utf8")).trim();
  return `${pid} ${fields[19]} ${boot}`;
}
