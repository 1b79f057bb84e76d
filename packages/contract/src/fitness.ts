// Can this node take a workload that needs this? Pure: the source's preflight, the planner and the certificate ask the same question and get the same answer.
import type { NodeCapabilities } from "./gen/aether/v2/node_pb.ts";
import type { WorkloadNeeds } from "./gen/aether/v2/preflight_pb.ts";

export interface Misfit {
  readonly code: string;
  readonly message: string;
  readonly mend: string;
  /** What it is about: a node's name, where the caller adds one. */
  readonly subject: string;
}

/** What is known of a workload's needs and of a node; what is missing on either side is not held against it. */
export type KnownNeeds = Partial<Omit<WorkloadNeeds, "$typeName" | "$unknown">>;
export type KnownNode = Partial<
  Pick<NodeCapabilities, "arch" | "cpuFeatures" | "xsaveComponents" | "kernelVersion" | "cgroupVersion" | "pidLimit" | "timeNamespace">
> & {
  readonly criuVersion?: string;
  /** Free now. */
  readonly memoryAvailableBytes?: bigint;
};

export function targetMisfits(needs: KnownNeeds, node: KnownNode): { blockers: Misfit[]; warnings: Misfit[] } {
  const blockers: Misfit[] = [];
  const warnings: Misfit[] = [];
  const say = (list: Misfit[], code: string, message: string, mend: string) => list.push({ code, message, mend, subject: "target" });

  if (needs.arch && node.arch && needs.arch !== node.arch) {
    say(blockers, "ARCH_DIFFERS", `it runs on ${needs.arch}, the target is ${node.arch}`, "Choose a target of the same architecture.");
    return { blockers, warnings };
  }
  // An empty list is one that was not read.
  const features = new Set(node.cpuFeatures ?? []);
  const lacking = features.size === 0 ? [] : (needs.cpuFeatures ?? []).filter((feature) => !features.has(feature));
  if (lacking.length > 0)
    say(
      blockers,
      "CPU_FEATURES_MISSING",
      `libraries of it chose code by features that the target's CPU lacks: ${lacking.join(" ")}`,
      `Choose a target that has them, or start it without them: GLIBC_TUNABLES=glibc.cpu.hwcaps=${lacking.map(glibcName).join(",")}`,
    );
  const components = new Set(node.xsaveComponents ?? []);
  const unsaved = components.size === 0 ? [] : (needs.xsaveComponents ?? []).filter((component) => !components.has(component));
  if (unsaved.length > 0)
    say(
      blockers,
      "CPU_STATE_MISSING",
      `its threads may hold CPU state that the target's kernel does not keep: ${unsaved.join(" ")}`,
      "Choose a target with the same extended state enabled.",
    );
  if (needs.timeNamespace === true && node.timeNamespace === false)
    say(
      blockers,
      "TIME_NAMESPACE_MISSING",
      "its clocks are shifted, and the target's kernel has no time namespaces",
      "Choose a target with CONFIG_TIME_NS.",
    );
  const pidLimit = Number(node.pidLimit ?? 0n);
  if (pidLimit > 0 && (needs.threadCount ?? 0) > pidLimit / 2)
    say(
      blockers,
      "PID_LIMIT",
      `it has ${needs.threadCount} threads, and the target allows ${pidLimit} in all`,
      "Raise kernel.pid_max on the target.",
    );
  else if (pidLimit > 0 && (needs.pidsLimit ?? 0) > pidLimit)
    say(
      warnings,
      "PIDS_LIMIT",
      `it may have ${needs.pidsLimit} processes and threads, and the target allows ${pidLimit} in all`,
      "Raise kernel.pid_max on the target: there it may be refused new threads before its own limit is reached.",
    );
  const [needed, free] = [needs.memoryBytes ?? 0n, node.memoryAvailableBytes ?? 0n];
  if (free > 0n && needed + spareBytes > free)
    say(
      blockers,
      "MEMORY_SHORT",
      `it holds ${mebibytes(needed)} MiB, and the target has ${mebibytes(free)} MiB free, of which ${mebibytes(spareBytes)} must stay so`,
      "Choose a larger target, or free memory there.",
    );
  else if (free > 0n && (needs.memoryLimitBytes ?? 0n) > free)
    say(
      warnings,
      "MEMORY_LIMIT",
      `it may grow to ${mebibytes(needs.memoryLimitBytes ?? 0n)} MiB, and the target has ${mebibytes(free)} MiB free`,
      "Choose a larger target: there the kernel may have to end it before its own limit does.",
    );
  const pair = node.kernelVersion && node.criuVersion ? brokenPair(node.criuVersion, node.kernelVersion) : undefined;
  if (pair !== undefined)
    say(
      warnings,
      "CRIU_KERNEL_PAIR",
      `CRIU ${node.criuVersion} was seen to fail on kernels such as the target's ${node.kernelVersion}: ${pair}`,
      "Update CRIU there (npm run prepare:machine installs one that fits the kernel).",
    );
  if (needs.criuVersion && node.criuVersion && compareVersions(node.criuVersion, needs.criuVersion) < 0)
    say(
      blockers,
      "CRIU_OLDER",
      `the target's CRIU ${node.criuVersion} is older than the one that writes the images (${needs.criuVersion})`,
      "Update CRIU on the target: images are read by the same version or a newer one.",
    );
  if (needs.kernelVersion && node.kernelVersion && compareVersions(node.kernelVersion, needs.kernelVersion) < 0)
    say(
      warnings,
      "KERNEL_OLDER",
      `the target's kernel ${node.kernelVersion} is older than ${needs.kernelVersion}`,
      "What the newer kernel offered when the workload started may be missing there; rehearse a move with a drill.",
    );
  if (needs.cgroupVersion && node.cgroupVersion && needs.cgroupVersion !== node.cgroupVersion)
    say(
      warnings,
      "CGROUP_VERSION",
      `its node has cgroup version ${needs.cgroupVersion}, the target ${node.cgroupVersion}`,
      "A program that reads its own limits from /sys/fs/cgroup finds other files after a move.",
    );
  return { blockers, warnings };
}

/** Beside the workload itself, on a target: the images pass through memory. As the planner has it. */
const spareBytes = 64n << 20n;
const mebibytes = (bytes: bigint): string => String(bytes >> 20n);

/**
 * Pairs that were tried and failed: CRIU before the first number, on kernels from the second one on. A warning only, since a distribution may have mended its
 * own; a node's trial checkpoint decides whether it is taken at all.
 */
const brokenPairs: readonly (readonly [string, string, string])[] = [
  ["3.18", "6.13", "it does not know where these kernels keep the clock's page (vdso)"],
  ["4.2", "6.16", "it cannot read the options of TCP sockets there"],
];

function brokenPair(criu: string, kernel: string): string | undefined {
  return brokenPairs.find(([fixedIn, from]) => compareVersions(criu, fixedIn) < 0 && compareVersions(kernel, from) >= 0)?.[2];
}

/** Major and minor (and patch, where both have it) numbers; what follows them says nothing of what works together. */
function compareVersions(a: string, b: string): number {
  const numbers = (text: string) => (/^\d+(\.\d+)*/.exec(text)?.[0] ?? "").split(".").slice(0, 2).map(Number);
  const [left, right] = [numbers(a), numbers(b)];
  return (left[0] ?? 0) - (right[0] ?? 0) || (left[1] ?? 0) - (right[1] ?? 0);
}

/** As glibc writes the features that it can be told to leave alone. */
const glibcName = (feature: string): string =>
  `-${({ sse4_1: "SSE4_1", sse4_2: "SSE4_2", abm: "LZCNT" } as Record<string, string>)[feature] ?? feature.replace(/^avx512_?/, "AVX512").toUpperCase()}`;
