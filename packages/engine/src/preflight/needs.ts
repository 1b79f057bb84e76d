// What a target must have for this workload: read from the processes themselves, not from what the source happens to offer.
import { readFileSync, readlinkSync } from "node:fs";
import type { KnownNeeds } from "@aether/contract";
import type { HostFacts } from "../engine.ts";
import { readProc } from "../runtime/process.ts";
import { type MappedCode, mappedCode, neededComponents, neededFeatures } from "./cpu.ts";

export async function needsOf(pids: readonly number[], facts: HostFacts): Promise<KnownNeeds> {
  const code: MappedCode[] = [];
  let usedAvx512 = false;
  let threadCount = 0;
  let hasTimeNamespace = false;
  const ours = readlinkSync("/proc/self/ns/time");
  for (const pid of pids) {
    code.push(mappedCode((await readProc(pid, "maps")) ?? ""));
    usedAvx512 ||= hasUsedAvx512(await readProc(pid, "arch_status"));
    threadCount += Number(/^Threads:\s*(\d+)$/m.exec((await readProc(pid, "status")) ?? "")?.[1] ?? 1);
    hasTimeNamespace ||= timeNamespaceOf(pid) !== ours;
  }
  const cpuFeatures = neededFeatures(facts.cpuFeatures, code, usedAvx512);
  return {
    arch: facts.arch,
    cpuFeatures,
    xsaveComponents: neededComponents(facts.cpuFeatures, cpuFeatures, usedAvx512),
    kernelVersion: facts.kernelVersion,
    cgroupVersion: facts.cgroupVersion,
    processCount: pids.length,
    threadCount,
    timeNamespace: hasTimeNamespace,
  };
}

/** "AVX512_elapsed_ms: -1" is never. A kernel that does not say (before 5.1) leaves no choice but to assume it. */
export const hasUsedAvx512 = (archStatus: string | undefined): boolean =>
  archStatus === undefined || /^AVX512_elapsed_ms:\s*\d+$/m.test(archStatus);

function timeNamespaceOf(pid: number): string {
  try {
    return readlinkSync(`/proc/${pid}/ns/time`);
  } catch {
    return readlinkSync("/proc/self/ns/time"); // it has just ended
  }
}

/** criu reads the limits of a process of another user with this capability alone (prlimit(2)). */
export function canReadLimitsOfOthers(): boolean {
  const effective = /^CapEff:\s*(\S+)$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1] ?? "0";
  return ((BigInt(`0x${effective}`) >> 24n) & 1n) === 1n; // CAP_SYS_RESOURCE
}
