// A workload that writes faster than the link carries can be held down while its memory is copied, where its policy says so: its cgroup gets less CPU.
// It gets all of it back whatever happens: by whoever set it, by the tracker when this process dies, and by the next process from the note on disk when both do.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { isErrno, writeFileAtomic } from "@aether/kit";
import { z } from "zod";
import { type Host, workloadDir } from "../host.ts";
import { cgroupDirs, pidsOf } from "../runtime/cgroup.ts";
import { clockTicksPerSecond, statOf } from "../runtime/process.ts";
import { dirtyRate, linkRate, type Round } from "./rounds.ts";

const note = z.object({ file: z.string(), value: z.string() });

const notePath = (host: Host, workload: string) => join(workloadDir(host, workload), "cpu-quota.json");

/** Length of the kernel's period in which a quota is given, microseconds (its default, which we do not change). */
const periodUs = 100_000;
/** However low the policy goes: the workload must still answer. */
const leastPercent = 10;

/** Of version 2, else version 1; undefined where the workload's cgroup has no such limit. */
export async function quotaFile(host: Host, workload: string): Promise<string | undefined> {
  const dirs = await cgroupDirs(host, workload);
  return dirs.flatMap((dir) => [join(dir, "cpu.max"), join(dir, "cpu.cfs_quota_us")]).find((path) => existsSync(path));
}

/** CPU that its processes have used up to now. */
export async function cpuTicks(host: Host, workload: string): Promise<number> {
  const stats = await Promise.all((await pidsOf(host, workload)).map((pid) => statOf(pid)));
  return stats.reduce((sum, stat) => sum + (stat?.cpuTicks ?? 0), 0);
}

/** Of one processor. */
export const percentOf = (ticks: number, ms: number): number => (ms > 0 ? (ticks / clockTicksPerSecond / ms) * 100_000 : 0);

/**
 * The share of one processor at which it would write half of what the link carries: writes are taken to follow the CPU. Undefined where that would not be
 * less than what it uses.
 */
export function throttleTo(rounds: readonly Round[], usedPercent: number, minPercent: number): number | undefined {
  const [link, dirty] = [linkRate(rounds), dirtyRate(rounds)];
  if (link === undefined || dirty === undefined || dirty <= 0 || usedPercent <= 0) return undefined;
  const wanted = Math.max(leastPercent, minPercent, Math.round((usedPercent * 0.5 * link) / dirty));
  return wanted < usedPercent ? wanted : undefined;
}

export interface Throttle {
  /** The quota is written down, with what it was, before it is set. */
  hold(percent: number): Promise<void>;
  /** As it was before. Safe to repeat and without a `hold`. */
  lift(): Promise<void>;
}

export function createThrottle(host: Host, workload: string, file: string): Throttle {
  return {
    async hold(percent) {
      await writeFileAtomic(notePath(host, workload), JSON.stringify({ file, value: readFileSync(file, "utf8").trim() }));
      writeFileSync(file, String(Math.round((percent * periodUs) / 100)));
    },
    lift: () => liftThrottle(host, workload),
  };
}

/** What an earlier life of this process, or this one, has set is taken back. */
export async function liftThrottle(host: Host, workload: string): Promise<void> {
  try {
    const { file, value } = note.parse(JSON.parse(readFileSync(notePath(host, workload), "utf8")));
    writeFileSync(file, value);
  } catch (caught) {
    if (!isErrno(caught, "ENOENT", "ENODEV")) throw caught;
  }
  await rm(notePath(host, workload), { force: true });
}
