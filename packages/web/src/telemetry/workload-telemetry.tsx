import type { WorkloadSample } from "@aether/contract/gen/aether/v2/telemetry_pb";
import { telemetryQueries } from "../api/telemetry.ts";
import { bytes, count, duration, percent } from "../format/units.ts";
import { network, pressure } from "./common-graphs.ts";
import type { GraphSpec } from "./graphs.tsx";
import { Measured, perSecond } from "./measured.tsx";

const rate = perSecond(bytes);
const micros = (value: number) => (value < 1000 ? `${Math.round(value)} µs` : duration(value / 1000));

const graphs: readonly GraphSpec<WorkloadSample>[] = [
  { title: "CPU", format: percent, lines: [{ name: "of one CPU", color: "--accent", read: (sample) => sample.cpuFraction }] },
  {
    title: "Memory to carry",
    format: bytes,
    isBinary: true,
    lines: [{ name: "memory", color: "--accent", read: (sample) => sample.memoryBytes }],
  },
  {
    title: "Memory written",
    format: rate,
    isBinary: true,
    lines: [{ name: "dirty rate", color: "--warn", read: (sample) => sample.dirtyBytesPerSecond }],
  },
  { title: "TCP connections", format: count, lines: [{ name: "established", color: "--accent", read: (sample) => sample.tcpEstablished }] },
  network,
  { title: "Round trip", format: duration, lines: [{ name: "median", color: "--accent", read: (sample) => sample.roundTripMs }] },
  pressure,
  {
    title: "Retransmits",
    format: (value) => `${count(value)}/s`,
    lines: [{ name: "segments", color: "--bad", read: (sample) => sample.retransmitsPerSecond }],
  },
  {
    title: "Waiting for a CPU",
    format: micros,
    lines: [
      { name: "median", color: "--accent", read: (sample) => sample.runQueueP50Us },
      { name: "p99", color: "--warn", read: (sample) => sample.runQueueP99Us },
    ],
  },
];

export function WorkloadTelemetry({ name }: { name: string }) {
  return <Measured read={(seconds) => telemetryQueries.workload(name, seconds)} graphs={graphs} />;
}
