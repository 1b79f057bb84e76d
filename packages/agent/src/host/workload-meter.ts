// What a workload does, between two looks, from its cgroup (version 1, 2 or both) and its network namespace.
import { join } from "node:path";
import type { WorkloadSample as WorkloadSampleMessage } from "@aether/contract/gen/aether/v2/telemetry_pb";
import type { WorkloadPlace } from "@aether/engine";
import { createRates, type FieldsOf, known, parseInterface, parsePressure, parseSnmp, parseStat } from "./counters.ts";
import { share } from "./node-meter.ts";

export type WorkloadSample = FieldsOf<WorkloadSampleMessage>;

export interface WorkloadMeterOptions {
  readonly read: (path: string) => string | undefined;
  readonly monotonicMs: () => number;
}

/**
 * Looks at a workload. A new process (a restart, a move back) begins anew: the first look has no rates. Page faults come beside the sample: they bound from
 * below how much is written, where that cannot be counted.
 */
export function createWorkloadMeter({
  read,
  monotonicMs,
}: WorkloadMeterOptions): (place: WorkloadPlace) => { readonly sample: WorkloadSample; readonly faultsPerSecond: number | undefined } {
  const rate = createRates();
  return ({ pid, cgroupDirs }) => {
    const now = monotonicMs();
    const first = (name: string) => cgroupDirs.map((dir) => read(join(dir, name))).find((text) => text !== undefined);
    const pressure = (name: string) => share(rate(name, parsePressure(first(`${name}.pressure`)), now));
    const network = parseInterface(read(`/proc/${pid}/net/dev`), "eth0");
    const stat = first("memory.stat");
    const sample = known<WorkloadSample>({
      cpuFraction: share(rate(`cpu ${pid}`, cpuUs(first("cpu.stat"), first("cpuacct.usage")), now)),
      memoryBytes: memoryBytes(stat),
      cpuPressure: pressure("cpu"),
      memoryPressure: pressure("memory"),
      ioPressure: pressure("io"),
      receivedBytesPerSecond: rate(`received ${pid}`, network?.received, now),
      sentBytesPerSecond: rate(`sent ${pid}`, network?.sent, now),
      retransmitsPerSecond: rate(`retransmits ${pid}`, parseSnmp(read(`/proc/${pid}/net/snmp`), "Tcp", "RetransSegs"), now),
    });
    // Version 1 counts those of the group and all below as total_….
    const faults = parseStat(stat, "total_pgfault") ?? parseStat(stat, "pgfault");
    return { sample, faultsPerSecond: rate(`faults ${pid}`, faults, now) };
  };
}

/** Version 2 counts in µs, also where the version 1 controller is the one that limits; version 1 in ns. */
function cpuUs(stat: string | undefined, usage: string | undefined): number | undefined {
  return parseStat(stat, "usage_usec") ?? (usage === undefined ? undefined : Number(usage) / 1000);
}

/** Anonymous and shared memory. Version 1: rss and shmem of the group and all below; version 2: anon and shmem. */
function memoryBytes(stat: string | undefined): bigint | undefined {
  const anonymous = parseStat(stat, "anon") ?? parseStat(stat, "total_rss");
  if (anonymous === undefined) return undefined;
  return BigInt(anonymous + (parseStat(stat, "total_shmem") ?? parseStat(stat, "shmem") ?? 0));
}
