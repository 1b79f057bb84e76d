// Can this kernel tell which pages were written? Found by doing, on this very process where a read of /proc suffices.
// soft_dirty: Documentation/admin-guide/mm/soft-dirty.rst. wp_async: PAGEMAP_SCAN with userfaultfd's asynchronous write-protect, Linux 6.7.
import { open, readFile, writeFile } from "node:fs/promises";

export type DirtyTracking = "wp_async" | "soft_dirty" | "none";

const pageBytes = 4096;
const softDirtyBit = 1n << 55n;

/**
 * Clears this process's soft-dirty bits and looks whether its stack, which is written all the time, has one again. Reading /proc/self
 * needs no privilege. Where the kernel is new enough for wp_async, that is the answer: it works on all of them that have userfaultfd.
 */
export async function probeDirtyTracking(kernelVersion: string, hasUserfaultfd: boolean): Promise<DirtyTracking> {
  if (hasUserfaultfd && isAtLeast(kernelVersion, 6, 7)) return "wp_async";
  return (await hasSoftDirty()) ? "soft_dirty" : "none";
}

/** Is the kernel built with CONFIG_MEM_SOFT_DIRTY? */
export async function hasSoftDirty(): Promise<boolean> {
  try {
    await writeFile("/proc/self/clear_refs", "4");
    const stack = /^([0-9a-f]+)-([0-9a-f]+) .*\[stack\]$/m.exec(await readFile("/proc/self/maps", "utf8"));
    if (!stack?.[1] || !stack[2]) return false;
    const first = Number.parseInt(stack[1], 16) / pageBytes;
    const entries = Buffer.alloc((Number.parseInt(stack[2], 16) / pageBytes - first) * 8);
    const pagemap = await open("/proc/self/pagemap", "r");
    try {
      const { bytesRead } = await pagemap.read(entries, 0, entries.length, first * 8);
      for (let at = 0; at + 8 <= bytesRead; at += 8) if (entries.readBigUInt64LE(at) & softDirtyBit) return true;
      return false;
    } finally {
      await pagemap.close();
    }
  } catch {
    return false; // no such file, or not allowed: it cannot be used either
  }
}

/** Kernel versions begin with MAJOR.MINOR. */
export function isAtLeast(version: string, major: number, minor: number): boolean {
  const [, found = "0", foundMinor = "0"] = /^(\d+)\.(\d+)/.exec(version) ?? [];
  return Number(found) > major || (Number(found) === major && Number(foundMinor) >= minor);
}
