// Measures the machine and its workloads each interval and sends it up: lossy, and nothing waits for it.
import { readFileSync } from "node:fs";
import type { TelemetryReportSchema } from "@aether/contract/gen/aether/v2/telemetry_pb";
import type { Runtime } from "@aether/engine";
import type { Logger } from "@aether/kit";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { StatusReport } from "../workloads/board.ts";
import { createNodeMeter } from "./node-meter.ts";
import type { HostUsage } from "./usage.ts";
import { createWorkloadMeter } from "./workload-meter.ts";

export type TelemetryReport = MessageInitShape<typeof TelemetryReportSchema>;

export interface TelemetryOptions {
  readonly hostInterface: string;
  readonly runtime: Pick<Runtime, "locate">;
  readonly usage: () => Promise<HostUsage>;
  /** Workloads as the board knows them: only running ones are measured. */
  readonly workloads: () => readonly StatusReport[];
  readonly log: Logger;
}

/** One look; the first has no rates. */
export function createTelemetry({ hostInterface, runtime, usage, workloads, log }: TelemetryOptions): () => Promise<TelemetryReport> {
  const monotonicMs = () => performance.now();
  const meters = new Map<string, ReturnType<typeof createWorkloadMeter>>();
  const ownCpuUs = () => {
    const { user, system } = process.cpuUsage();
    return user + system;
  };
  const measureNode = createNodeMeter({ hostInterface, usage, read: readNow, monotonicMs, ownCpuUs });
  let before = monotonicMs();
  return async () => {
    const spanMs = Math.round(monotonicMs() - before);
    before = monotonicMs();
    const samples: Record<string, NonNullable<TelemetryReport["workloads"]>[string]> = {};
    const running = workloads().filter(({ phase }) => phase === "running");
    for (const name of meters.keys()) if (!running.some((status) => status.name === name)) meters.delete(name);
    for (const { name, usage: known } of running) {
      if (name === undefined) continue;
      const place = await runtime.locate(name).catch((caught: unknown) => {
        log.debug({ err: caught, workload: name }, "a workload cannot be measured");
        return undefined;
      });
      if (place === undefined) continue;
      const meter = meters.get(name) ?? createWorkloadMeter({ read: readNow, monotonicMs });
      meters.set(name, meter);
      samples[name] = {
        ...meter(place),
        spanMs,
        dirtySource: "unknown",
        ...(known?.tcpEstablished === undefined ? {} : { tcpEstablished: known.tcpEstablished }),
      };
    }
    return { node: { ...(await measureNode()), spanMs }, workloads: samples };
  };
}

/** At once: these files have no disk behind them, and the detour over threads costs four times as much. */
function readNow(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined; // not on this kernel, or the process has gone
  }
}
