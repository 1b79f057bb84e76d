// What this machine is, from /proc and the tools themselves.
import { readFile } from "node:fs/promises";
import { arch, cpus, hostname, release, totalmem } from "node:os";
import type { Tools } from "@aether/engine";
import { run } from "@aether/kit";

export interface Machine {
  readonly hostname: string;
  readonly kernelVersion: string;
  /** x86_64 | aarch64 | … as the kernel says it. */
  readonly arch: string;
  readonly cpuFeatures: readonly string[];
  readonly cpuCount: number;
  readonly memoryBytes: number;
  readonly bootId: string;
}

const kernelArchs: Readonly<Record<string, string>> = { x64: "x86_64", arm64: "aarch64" };

/** Reads what cannot change before the next boot. */
export async function readMachine(): Promise<Machine> {
  const cpuinfo = await readFile("/proc/cpuinfo", "utf8");
  return {
    hostname: hostname(),
    kernelVersion: release(),
    arch: kernelArchs[arch()] ?? arch(),
    cpuFeatures: parseCpuFeatures(cpuinfo),
    cpuCount: cpus().length,
    memoryBytes: totalmem(),
    bootId: (await readFile("/proc/sys/kernel/random/boot_id", "utf8")).trim(),
  };
}

/** The features that every CPU has: a process may run on any of them. x86 says "flags", arm64 "Features". */
export function parseCpuFeatures(cpuinfo: string): string[] {
  const sets = [...cpuinfo.matchAll(/^(?:flags|Features)\s*:\s*(.*)$/gm)].map(
    (match) => new Set((match[1] ?? "").split(/\s+/).filter(Boolean)),
  );
  const [first, ...rest] = sets;
  return [...(first ?? [])].filter((feature) => rest.every((set) => set.has(feature))).sort();
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
