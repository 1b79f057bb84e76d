// What this host is, so far as a workload from elsewhere, or one that leaves, must know. None of it changes before the next boot.
import { access, readFile } from "node:fs/promises";
import { arch, release } from "node:os";
import { readTextIfThere } from "@aether/kit";
import type { HostFacts } from "../engine.ts";
import { xsaveComponents } from "./cpu.ts";

const kernelArchs: Readonly<Record<string, string>> = { x64: "x86_64", arm64: "aarch64" };

let known: Promise<HostFacts> | undefined;

/** Read once. */
export function hostFacts(): Promise<HostFacts> {
  known ??= read();
  return known;
}

async function read(): Promise<HostFacts> {
  const cpuinfo = await readFile("/proc/cpuinfo", "utf8");
  const cpuFeatures = parseCpuFeatures(cpuinfo);
  return {
    arch: kernelArchs[arch()] ?? arch(),
    cpuModel: /^(?:model name|CPU part)\s*:\s*(.*)$/m.exec(cpuinfo)?.[1] ?? "",
    cpuFeatures,
    xsaveComponents: arch() === "x64" ? xsaveComponents(cpuFeatures) : [],
    kernelVersion: release(),
    cgroupVersion: (await isThere("/sys/fs/cgroup/cgroup.controllers")) ? 2 : 1,
    pidLimit: await pidLimit(),
    timeNamespace: await isThere("/proc/self/ns/time"),
  };
}

/** How many threads the machine can have: by their numbers, and by its memory (proc(5)). 0: it does not say. */
async function pidLimit(): Promise<number> {
  const texts = await Promise.all(["pid_max", "threads-max"].map((name) => readTextIfThere(`/proc/sys/kernel/${name}`)));
  const limits = texts.flatMap((text) => (text === undefined ? [] : [Number(text)]));
  return limits.length === 0 ? 0 : Math.min(...limits);
}

/** The features that every CPU has: a process may run on any of them. x86 says "flags", arm64 "Features". */
export function parseCpuFeatures(cpuinfo: string): string[] {
  const sets = [...cpuinfo.matchAll(/^(?:flags|Features)\s*:\s*(.*)$/gm)].map(
    (match) => new Set((match[1] ?? "").split(/\s+/).filter(Boolean)),
  );
  const [first, ...rest] = sets;
  return [...(first ?? [])].filter((feature) => rest.every((set) => set.has(feature))).sort();
}

const isThere = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );
