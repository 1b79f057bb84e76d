// Processes told apart for certain: a pid is reused, a pid with its start time is not.
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { isErrno, sleep } from "@aether/kit";
import { z } from "zod";

/** A process of this boot: `startTicks` is field 22 of /proc/PID/stat. */
export const processRef = z.object({ pid: z.number().int().positive(), startTicks: z.string() });
export type ProcessRef = z.infer<typeof processRef>;

/** The process that has this pid now; undefined when there is none, or only a zombie. */
export function refOf(pid: number): ProcessRef | undefined {
  const stat = readProc(pid, "stat");
  if (stat === undefined) return undefined;
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" "); // the name before may hold spaces and parentheses
  const startTicks = fields[19];
  return startTicks === undefined || fields[0] === "Z" || fields[0] === "X" ? undefined : { pid, startTicks };
}

export function isAlive(ref: ProcessRef): boolean {
  return refOf(ref.pid)?.startTicks === ref.startTicks;
}

/** Sends a signal if it is still that very process. */
export function signalProcess(ref: ProcessRef, signal: NodeJS.Signals): void {
  if (!isAlive(ref)) return;
  try {
    process.kill(ref.pid, signal);
  } catch (caught) {
    if (!isErrno(caught, "ESRCH")) throw caught;
  }
}

/** SIGTERM, up to `graceMs`, then SIGKILL; returns whether it is gone. */
export async function endProcess(ref: ProcessRef, graceMs: number): Promise<boolean> {
  signalProcess(ref, "SIGTERM");
  if (await isGoneWithin(ref, graceMs)) return true;
  signalProcess(ref, "SIGKILL");
  return isGoneWithin(ref, 5_000);
}

async function isGoneWithin(ref: ProcessRef, ms: number): Promise<boolean> {
  for (const endMs = performance.now() + ms; performance.now() < endMs; await sleep(20)) if (!isAlive(ref)) return true;
  return !isAlive(ref);
}

export interface ProcessView {
  readonly ref: ProcessRef;
  readonly parentPid: number;
  /** Inode of its network namespace. */
  readonly networkInode: string;
  /** NAME=VALUE entries; empty where they may not be read. */
  readonly environment: readonly string[];
}

/** Every live process that this one may look at. */
export function listProcesses(): ProcessView[] {
  const views: ProcessView[] = [];
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const pid = Number(name);
    const ref = refOf(pid);
    const stat = readProc(pid, "stat");
    if (ref === undefined || stat === undefined) continue;
    views.push({
      ref,
      parentPid: Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]),
      networkInode: /\[(\d+)\]/.exec(readLink(pid, "ns/net"))?.[1] ?? "",
      environment: (readProc(pid, "environ") ?? "").split("\0"),
    });
  }
  return views;
}

function readProc(pid: number, file: string): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/${file}`, "utf8");
  } catch (caught) {
    if (isErrno(caught, "ENOENT", "ESRCH", "EACCES", "EPERM")) return undefined; // it ended meanwhile, or is not ours to read
    throw caught;
  }
}

function readLink(pid: number, file: string): string {
  try {
    return readlinkSync(`/proc/${pid}/${file}`);
  } catch (caught) {
    if (isErrno(caught, "ENOENT", "ESRCH", "EACCES", "EPERM")) return "";
    throw caught;
  }
}
