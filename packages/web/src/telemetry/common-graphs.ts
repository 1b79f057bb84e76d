// What is measured of a node and of a workload alike.
import { bytes, percent } from "../format/units.ts";
import type { GraphSpec } from "./graphs.tsx";
import { perSecond } from "./measured.tsx";

interface CommonSample {
  readonly receivedBytesPerSecond?: number | undefined;
  readonly sentBytesPerSecond?: number | undefined;
  readonly cpuPressure?: number | undefined;
  readonly memoryPressure?: number | undefined;
  readonly ioPressure?: number | undefined;
}

export const network: GraphSpec<CommonSample> = {
  title: "Network",
  format: perSecond(bytes),
  isBinary: true,
  lines: [
    { name: "in", color: "--accent", read: (sample) => sample.receivedBytesPerSecond },
    { name: "out", color: "--source", read: (sample) => sample.sentBytesPerSecond },
  ],
};

export const pressure: GraphSpec<CommonSample> = {
  title: "Pressure",
  format: percent,
  lines: [
    { name: "CPU", color: "--accent", read: (sample) => sample.cpuPressure },
    { name: "mem", color: "--source", read: (sample) => sample.memoryPressure },
    { name: "I/O", color: "--target", read: (sample) => sample.ioPressure },
  ],
};
