// What processes take, read from /proc, so that core, its database and the simulator are told apart on the same processors.
import { readdirSync, readFileSync } from "node:fs";

/** Ticks of /proc in a second: USER_HZ, the same on all of Linux. */
const ticks = 100;

export interface Usage {
  readonly cpuSeconds: number;
  /** Of these, on the thread that runs JavaScript; the rest is garbage collection, cryptography, and the embedded database. */
  readonly mainThreadSeconds: number;
  readonly residentBytes: number;
}

export function usageOf(pid: number): Usage {
  const resident = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? "0";
  return {
    cpuSeconds: seconds(statOf(`/proc/${pid}`)),
    mainThreadSeconds: seconds(statOf(`/proc/${pid}/task/${pid}`)),
    residentBytes: Number(resident) * 1024,
  };
}

/** Of a process with all of its children, also those that have ended. */
export function cpuSecondsOfTree(pid: number): number {
  let sum = 0;
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const fields = statOf(`/proc/${name}`);
      if (Number(name) === pid) sum += seconds(fields) + (Number(fields[13]) + Number(fields[14])) / ticks;
      else if (Number(fields[1]) === pid) sum += seconds(fields);
    } catch {
      // It has ended meanwhile.
    }
  }
  return sum;
}

/** The fields after the name, which may have spaces: state, ppid, … */
function statOf(dir: string): string[] {
  const text = readFileSync(`${dir}/stat`, "utf8");
  return text.slice(text.lastIndexOf(")") + 2).split(" ");
}

const seconds = (fields: readonly string[]): number => (Number(fields[11]) + Number(fields[12])) / ticks;
