// What this machine is, from /proc and the tools themselves.
import { readFile } from "node:fs/promises";
import { cpus, hostname, totalmem } from "node:os";
import { type HostFacts, hostFacts, type Tools } from "@aether/engine";
import { run } from "@aether/kit";

export interface Machine extends HostFacts {
  readonly hostname: string;
  readonly cpuCount: number;
  readonly memoryBytes: number;
  readonly bootId: string;
}

/** Reads what cannot change before the next boot. */
export async function readMachine(): Promise<Machine> {
  return {
    ...(await hostFacts()),
    hostname: hostname(),
    cpuCount: cpus().length,
    memoryBytes: totalmem(),
    bootId: (await readFile("/proc/sys/kernel/random/boot_id", "utf8")).trim(),
  };
}

/** The first version number that a tool prints; undefined when it is not there or does not say. */
export async function versionOf(path: string, args: readonly string[], signal?: AbortSignal): Promise<string | undefined> {
  try {
    const { stdout, stderr } = await run(path, args, { deadlineMs: 5_000, signal });
    return /(\d+\.\d+(?:\.\d+)?(?:[-+~][\w.+~-]*)?)/.exec(stdout || stderr)?.[1];
  } catch {
    return undefined; // what is missing is reported by who asked, with the way to mend it
  }
}

/** Arguments by which each tool says its version. */
export const versionArguments: Readonly<Record<keyof Tools, readonly string[]>> = {
  criu: ["--version"],
  runc: ["--version"],
  ip: ["-Version"],
  nft: ["--version"],
  rsync: ["--version"],
  native: ["--version"],
  bpf: ["--version"],
};
