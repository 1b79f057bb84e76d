// Reports that wait for the next heartbeat. Each says how old it is when it leaves, so that neither host's clock is asked.
import type { TelemetryReport } from "./telemetry.ts";

export interface Measured {
  keep(report: TelemetryReport): void;
  /** All of them, oldest first; they are forgotten here. */
  take(): TelemetryReport[];
}

/** As many as the control plane believes in one message; the oldest go first. */
const most = 120;

export function createMeasured(nowMs: () => number = () => performance.now()): Measured {
  let waiting: { readonly report: TelemetryReport; readonly atMs: number }[] = [];
  return {
    keep(report) {
      waiting = [...waiting.slice(1 - most), { report, atMs: nowMs() }];
    },
    take() {
      const taken = waiting.map(({ report, atMs }) => ({ ...report, ageMs: Math.round(nowMs() - atMs) }));
      waiting = [];
      return taken;
    },
  };
}
