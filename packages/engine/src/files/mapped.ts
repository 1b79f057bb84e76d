// Files that a workload writes through memory. A write to a shared mapping changes the file's times at the first fault after each write-back and not again,
// so a copy that goes by times (rsync's, the stamp of a tree) can miss what was written later. Met with a JVM, whose counters are such a file.
import { statSync, utimesSync } from "node:fs";
import { isErrno } from "@aether/kit";
import type { Host } from "../host.ts";
import { pidsOf } from "../runtime/cgroup.ts";
import { readProc } from "../runtime/process.ts";

/** The mappings of /proc/PID/maps (proc(5)) that are shared, writable, and of a file with a name in a file system that is not memory. */
export function sharedFileMappings(maps: string): { readonly range: string; readonly file: string }[] {
  const found = new Map<string, { range: string; file: string }>();
  for (const [, range = "", device = "", inode = "", path = ""] of maps.matchAll(
    /^([0-9a-f]+-[0-9a-f]+) .w.s [0-9a-f]+ (\S+) (\d+) +(\/.*)$/gm,
  )) {
    if (/^\/(memfd:|SYSV|dev\/(zero|shm\/))/.test(path) || path.endsWith(" (deleted)")) continue;
    found.set(`${device} ${inode}`, { range, file: path });
  }
  return [...found.values()];
}

/** The workload must be frozen. Sets the times that these files' last writes should have set: POSIX has them due by the next msync. Returns how many. */
export async function touchMappedFiles(host: Host, workload: string): Promise<number> {
  let count = 0;
  for (const pid of await pidsOf(host, workload)) {
    for (const { range } of sharedFileMappings((await readProc(pid, "maps")) ?? "")) {
      try {
        const path = `/proc/${pid}/map_files/${range}`;
        utimesSync(path, statSync(path).atimeMs / 1000, Date.now() / 1000);
        count++;
      } catch (caught) {
        if (!isErrno(caught, "ENOENT", "EROFS", "ESRCH")) throw caught;
      }
    }
  }
  return count;
}
