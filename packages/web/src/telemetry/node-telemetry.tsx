import type { NodeSample } from "@aether/contract/gen/aether/v2/telemetry_pb";
import { useQuery } from "@tanstack/react-query";
import { telemetryQueries } from "../api/telemetry.ts";
import { bytes, percent } from "../format/units.ts";
import { type GraphSpec, Graphs } from "./graphs.tsx";
import { useWindowSeconds } from "./window.tsx";

const rate = (value: number) => `${bytes(value)}/s`;

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
      { name: "memory", color: "--source", read: (sample) => sample.memoryPressure },
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
  const { seconds, choice } = useWindowSeconds();
  const { data } = useQuery(telemetryQueries.node(id, seconds));
  if (data === undefined) return null;
  return <Graphs title="Measured" aside={choice} samples={data.samples} since={data.since} until={data.until} graphs={graphs} />;
}
