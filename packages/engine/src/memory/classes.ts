// The memory of a workload by how it can travel. Read from /proc without walking page tables, so that it can be asked every half minute.
import { statSync } from "node:fs";
import { readProc } from "../runtime/process.ts";

export type CarriedKind = "huge_pages" | "sysv_shared" | "locked";

export interface MemoryClasses {
  /** Private anonymous memory: what was written is copied while it runs. */
  readonly privateBytes: number;
  /** Shared anonymous memory and memfd objects, each once: copied while it runs by comparison, put in place inside the freeze. */
  readonly sharedBytes: number;
  /** Only criu's images can carry it, inside the freeze. */
  readonly carried: readonly { readonly kind: CarriedKind; readonly bytes: number; readonly freezeMs: number }[];
}

/** Dumped, sent and read back by criu inside the freeze; a loaded pair of cores does no better. */
const carriedBytesPerSecond = 300 * 2 ** 20;

/** All that has to travel. Code and files that are mapped do not. */
export const totalBytes = ({ privateBytes, sharedBytes, carried }: MemoryClasses): number =>
  privateBytes + sharedBytes + carried.reduce((sum, { bytes }) => sum + bytes, 0);

/** @param pids all processes of the workload; one that ends meanwhile counts as nothing */
export async function memoryClasses(pids: readonly number[]): Promise<MemoryClasses> {
  const carried = new Map<CarriedKind, number>();
  const carry = (kind: CarriedKind, bytes: number) => bytes > 0 && carried.set(kind, (carried.get(kind) ?? 0) + bytes);
  const objects = new Set<string>();
  let privateBytes = 0;
  let sharedBytes = 0;
  for (const pid of pids) {
    const status = (await readProc(pid, "status")) ?? "";
    const kibibytes = (name: string) => Number(new RegExp(`^${name}:\\s*(\\d+) kB$`, "m").exec(status)?.[1] ?? 0) * 1024;
    // Locked memory is restored by criu itself, and with it all private memory of its process.
    if (kibibytes("VmLck") > 0) carry("locked", kibibytes("RssAnon"));
    else privateBytes += kibibytes("RssAnon");
    carry("huge_pages", kibibytes("HugetlbPages"));
    for (const shared of sharedMappings((await readProc(pid, "maps")) ?? "")) {
      if (objects.has(shared.object)) continue;
      objects.add(shared.object);
      const bytes = allocatedBytes(`/proc/${pid}/map_files/${shared.range}`);
      if (shared.isSysv) carry("sysv_shared", bytes);
      else sharedBytes += bytes;
    }
  }
  return {
    privateBytes,
    sharedBytes,
    carried: [...carried].map(([kind, bytes]) => ({ kind, bytes, freezeMs: (bytes / carriedBytesPerSecond) * 1000 })),
  };
}

/** Lines of maps(5) of shared memory without a file of a mounted file system: "/dev/zero", a memfd, or a segment of System V. */
export function sharedMappings(maps: string): { readonly range: string; readonly object: string; readonly isSysv: boolean }[] {
  return [...maps.matchAll(/^(\S+) \S{3}s \S+ (\S+) (\d+) +(\/dev\/zero|\/memfd:|\/SYSV[0-9a-f]{8})/gm)].map(
    ([, range, device, inode, name]) => ({
      range: range ?? "",
      object: `${device}:${inode}`,
      isSysv: name?.startsWith("/SYSV") ?? false,
    }),
  );
}

/** A shared object's pages, whoever maps them. Huge pages are counted by their processes already. */
function allocatedBytes(path: string): number {
  try {
    const { blocks, blksize } = statSync(path);
    return blksize > 65_536 ? 0 : blocks * 512;
  } catch {
    return 0; // unmapped meanwhile
  }
}
