// What this machine does, between two looks.
import type { NodeSample as NodeSampleMessage } from "@aether/contract/gen/aether/v2/telemetry_pb";
import { createRates, type FieldsOf, known, parseInterface, parsePressure } from "./counters.ts";
import type { HostUsage } from "./usage.ts";

export type NodeSample = FieldsOf<NodeSampleMessage>;

export interface NodeMeterOptions {
  readonly hostInterface: string;
  readonly usage: () => Promise<HostUsage>;
  /** The text of a file, undefined where it is not there. */
  readonly read: (path: string) => string | undefined;
  readonly monotonicMs: () => number;
  /** CPU time of this process, µs; of helpers too where they are known. */
  readonly ownCpuUs: () => number;
}

export function createNodeMeter({ hostInterface, usage, read, monotonicMs, ownCpuUs }: NodeMeterOptions): () => Promise<NodeSample> {
  const rate = createRates();
  let isFirst = true;
  return async () => {
    const { cpuFraction, memoryUsedBytes, memoryAvailableBytes, agentResidentBytes } = await usage();
    const now = monotonicMs();
    const pressure = (name: string) => share(rate(name, parsePressure(read(`/proc/pressure/${name}`)), now));
    const network = parseInterface(read("/proc/self/net/dev"), hostInterface);
    const sample = known<NodeSample>({
      cpuFraction: isFirst ? undefined : cpuFraction,
      memoryUsedBytes: BigInt(memoryUsedBytes),
      memoryAvailableBytes: BigInt(memoryAvailableBytes),
      cpuPressure: pressure("cpu"),
      memoryPressure: pressure("memory"),
      ioPressure: pressure("io"),
      receivedBytesPerSecond: rate("received", network?.received, now),
      sentBytesPerSecond: rate("sent", network?.sent, now),
      agentCpuFraction: share(rate("agent", ownCpuUs(), now)),
      agentResidentBytes: BigInt(agentResidentBytes),
    });
    isFirst = false;
    return sample;
  };
}

/** µs a second as a fraction. */
export const share = (usPerSecond: number | undefined): number | undefined => (usPerSecond === undefined ? undefined : usPerSecond / 1e6);
