import type { NodeSample } from "@aether/contract/gen/aether/v2/telemetry_pb";
import { telemetryQueries } from "../api/telemetry.ts";
import { bytes, percent } from "../format/units.ts";
import type { GraphSpec } from "./graphs.tsx";
import { Measured, perSecond } from "./measured.tsx";

const rate = perSecond(bytes);

const graphs: readonly GraphSpec<NodeSample>[] = [
  { title: "CPU", format: percent, lines: [{ name: "busy", color: "--accent", read: (sample) => sample.cpuFraction }] },
  {
    title: "Memory used",
    format: bytes,
    isBinary: true,
    lines: [{ name: "used", color: "--accent", read: (sample) => sample.memoryUsedBytes }],
  },
  {
    title: "Pressure",
    format: percent,
    lines: [
      { name: "CPU", color: "--accent", read: (sample) => sample.cpuPressure },
      { name: "mem", color: "--source", read: (sample) => sample.memoryPressure },
      { name: "I/O", color: "--target", read: (sample) => sample.ioPressure },
    ],
  },
  {
    title: "Network",
    format: rate,
    isBinary: true,
    lines: [
      { name: "in", color: "--accent", read: (sample) => sample.receivedBytesPerSecond },
      { name: "out", color: "--source", read: (sample) => sample.sentBytesPerSecond },
    ],
  },
  { title: "Agent CPU", format: percent, lines: [{ name: "agent", color: "--accent", read: (sample) => sample.agentCpuFraction }] },
  {
    title: "Agent memory",
    format: bytes,
    isBinary: true,
    lines: [{ name: "agent", color: "--accent", read: (sample) => sample.agentResidentBytes }],
  },
];

export function NodeTelemetry({ id }: { id: string }) {
  return <Measured read={(seconds) => telemetryQueries.node(id, seconds)} graphs={graphs} />;
}
