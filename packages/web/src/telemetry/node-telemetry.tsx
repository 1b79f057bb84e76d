import type { NodeSample } from "@aether/contract/gen/aether/v2/telemetry_pb";
import { telemetryQueries } from "../api/telemetry.ts";
import { bytes, percent } from "../format/units.ts";
import { network, pressure } from "./common-graphs.ts";
import type { GraphSpec } from "./graphs.tsx";
import { Measured } from "./measured.tsx";

const graphs: readonly GraphSpec<NodeSample>[] = [
  { title: "CPU", format: percent, lines: [{ name: "busy", color: "--accent", read: (sample) => sample.cpuFraction }] },
  {
    title: "Memory used",
    format: bytes,
    isBinary: true,
    lines: [{ name: "used", color: "--accent", read: (sample) => sample.memoryUsedBytes }],
  },
  pressure,
  network,
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
