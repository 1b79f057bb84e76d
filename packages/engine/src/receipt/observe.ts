// What the kernel shows of a workload that is frozen or stopped: its processes, what they have open, its connections. The same words on both sides
// of a move; numbers that a kernel gives out anew (inodes, host pids) are not among them.
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { isErrno } from "@aether/kit";
import type { Host } from "../host.ts";
import { tcpTable } from "../network/tcp-table.ts";
import { pidsOf } from "../runtime/cgroup.ts";
import { processTree, readProc, residentBytes } from "../runtime/process.ts";

export interface Observed {
  /** "pid parent name threads=n", pids as the workload sees them. */
  readonly processes: readonly string[];
  /** "pid fd kind …". */
  readonly descriptors: readonly string[];
  /** "local remote" of each established connection, sorted. */
  readonly connections: readonly string[];
  /** The same with the bytes that the peer has not acknowledged and those that the workload has not read. */
  readonly sockets: readonly string[];
  readonly residentBytes: number;
}

/** @param descriptors where they were read before: criu opens descriptors of its own in the processes that it dumps. */
export async function observe(host: Host, workload: string, descriptors?: readonly string[]): Promise<Observed> {
  const pids = await pidsOf(host, workload);
  const first = pids[0];
  const tcp = first === undefined ? undefined : await tcpTable(first);
  return {
    processes: await processTree(host, workload),
    descriptors: descriptors ?? (await descriptorsOf(host, workload)),
    connections: tcp?.established ?? [],
    sockets: tcp?.queues ?? [],
    residentBytes: await residentBytes(pids),
  };
}

/** Everything that the processes of the workload have open. */
export async function descriptorsOf(host: Host, workload: string): Promise<string[]> {
  const leaves: string[] = [];
  for (const pid of await pidsOf(host, workload)) {
    const own = /^NSpid:.*\s(\d+)$/m.exec((await readProc(pid, "status")) ?? "")?.[1] ?? "0";
    for (const fd of entriesOf(`/proc/${pid}/fd`)) {
      const words = describe(pid, fd);
      if (words !== undefined) leaves.push(`${own} ${fd} ${words}`);
    }
  }
  return leaves;
}

/** Of files also where they stand and how they were opened; undefined when the descriptor is gone. */
function describe(pid: number, fd: string): string | undefined {
  const link = orGone(() => readlinkSync(`/proc/${pid}/fd/${fd}`));
  if (link === undefined) return undefined;
  const kind = /^(socket|pipe):\[\d+\]$/.exec(link)?.[1];
  if (kind !== undefined) return kind;
  if (link.startsWith("anon_inode:")) return link;
  const info = orGone(() => readFileSync(`/proc/${pid}/fdinfo/${fd}`, "utf8"));
  if (info === undefined) return undefined;
  const field = (name: string) => new RegExp(`^${name}:\\s*(\\S+)$`, "m").exec(info)?.[1] ?? "";
  // A deleted file comes back under a name of criu's making, and is deleted again.
  const path = link.endsWith(" (deleted)") ? (link.startsWith("/memfd:") ? "memfd" : "deleted") : JSON.stringify(link);
  return `file ${path} at=${field("pos")} flags=${field("flags")}`;
}

function entriesOf(dir: string): string[] {
  return orGone(() => readdirSync(dir)) ?? [];
}

function orGone<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (caught) {
    if (isErrno(caught, "ENOENT", "ESRCH")) return undefined;
    throw caught;
  }
}
