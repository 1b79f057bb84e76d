// What /proc says of the processes of a workload.
import { readFileSync } from "node:fs";
import { isErrno } from "@aether/kit";
import type { Host } from "../host.ts";
import type { WorkloadRecord } from "../record.ts";
import { pidsOf } from "./cgroup.ts";

/** /proc/PID/FILE, or undefined when the process is gone. Read at once: there is no disk to wait for, and the detour over threads costs four times as much. */
export async function readProc(pid: number, name: string): Promise<string | undefined> {
  try {
    return readFileSync(`/proc/${pid}/${name}`, "utf8");
  } catch (caught) {
    if (isErrno(caught, "ENOENT", "ESRCH")) return undefined;
    throw caught;
  }
}

/** sysconf(_SC_CLK_TCK) on every Linux that Node runs on: what `cpuTicks` count. */
export const clockTicksPerSecond = 100;

export interface ProcStat {
  readonly comm: string;
  readonly state: string;
  readonly parent: number;
  readonly cpuTicks: number;
  readonly startTicks: number;
}

/** Parses /proc/PID/stat (proc(5)); the name may hold spaces and brackets. */
export function parseStat(text: string): ProcStat {
  const end = text.lastIndexOf(")");
  const fields = text.slice(end + 2).split(" ");
  return {
    comm: text.slice(text.indexOf("(") + 1, end),
    state: fields[0] ?? "?",
    parent: Number(fields[1]),
    cpuTicks: Number(fields[11]) + Number(fields[12]),
    startTicks: Number(fields[19]),
  };
}

export async function statOf(pid: number): Promise<ProcStat | undefined> {
  const text = await readProc(pid, "stat");
  return text === undefined ? undefined : parseStat(text);
}

/** Is the recorded process there, and the same one? */
export async function isAlive(record: WorkloadRecord): Promise<boolean> {
  if (record.pid === undefined) return false;
  const stat = await statOf(record.pid);
  return stat !== undefined && stat.state !== "Z" && stat.state !== "X" && stat.startTicks === record.pidStartTicks;
}

/** One line a process: pid in its own namespace, parent's, name, threads. Equal on both sides of a move. */
export async function processTree(host: Host, workload: string): Promise<string[]> {
  const inside = new Map<number, string>();
  const rows: { pid: string; parent: number; text: string }[] = [];
  for (const pid of await pidsOf(host, workload)) {
    const status = await readProc(pid, "status");
    if (status === undefined) continue;
    const field = (name: string) => new RegExp(`^${name}:\\s*(.*)$`, "m").exec(status)?.[1] ?? "";
    const own = field("NSpid").split(/\s+/).at(-1) ?? "";
    inside.set(pid, own);
    rows.push({ pid: own, parent: Number(field("PPid")), text: `${field("Name")} threads=${field("Threads")}` });
  }
  return rows.map((row) => `${row.pid} ${inside.get(row.parent) ?? "0"} ${row.text}`).sort();
}

/** Sum of resident memory, bytes. */
export async function residentBytes(pids: readonly number[]): Promise<number> {
  let total = 0;
  for (const pid of pids) {
    const status = await readProc(pid, "status");
    total += Number(/^VmRSS:\s*(\d+) kB$/m.exec(status ?? "")?.[1] ?? 0) * 1024;
  }
  return total;
}
