// Measures the machine and its workloads each interval and sends it up: lossy, and nothing waits for it.
import { readFileSync } from "node:fs";
import type { TelemetryReportSchema } from "@aether/contract/gen/aether/v2/telemetry_pb";
import type { Kernel, Runtime, WorkloadPlace } from "@aether/engine";
import type { Logger } from "@aether/kit";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { StatusReport } from "../workloads/board.ts";
import { known } from "./counters.ts";
import { createNodeMeter } from "./node-meter.ts";
import type { HostUsage } from "./usage.ts";
import { createWorkloadMeter, type WorkloadSample } from "./workload-meter.ts";

export type TelemetryReport = MessageInitShape<typeof TelemetryReportSchema>;

export interface TelemetryOptions {
  readonly hostInterface: string;
  readonly runtime: Pick<Runtime, "locate">;
  readonly kernel: Pick<Kernel, "ask" | "dirtyRate">;
  readonly usage: () => Promise<HostUsage>;
  /** Workloads as the board knows them: only running ones are measured. */
  readonly workloads: () => readonly StatusReport[];
  readonly log: Logger;
}

/** A look at how fast memory is written stops a workload for a millisecond and costs some CPU: it is taken this seldom, and is good for as long. */
const dirtyEveryMs = 60_000;

/** One look; the first has no rates. */
export function createTelemetry({
  hostInterface,
  runtime,
  kernel,
  usage,
  workloads,
  log,
}: TelemetryOptions): () => Promise<TelemetryReport> {
  const monotonicMs = () => performance.now();
  const meters = new Map<string, ReturnType<typeof createWorkloadMeter>>();
  const dirty = new Map<string, { readonly pid: number; readonly atMs: number; rate: number | undefined }>();
  let helperCpuUs = 0;

  /** From the kernel by our helper; where that does not run, the board's count. */
  async function sockets({ pid }: WorkloadPlace, established: number | undefined): Promise<WorkloadSample> {
    const said = await kernel.ask("sockets", `/proc/${pid}/ns/net`).catch(() => undefined);
    if (typeof said?.established !== "number") return known<WorkloadSample>({ tcpEstablished: established });
    const roundTripUs = said.roundTripUs;
    return known<WorkloadSample>({
      tcpEstablished: said.established,
      roundTripMs: typeof roundTripUs === "number" ? roundTripUs / 1000 : undefined,
    });
  }

  /** The newest rate; a new look begins beside us when it is due. The first waits a whole period, so that a start or a move is not disturbed. */
  function dirtyRate(name: string, { pid }: WorkloadPlace): WorkloadSample {
    const now = monotonicMs();
    const last = dirty.get(name);
    if (last === undefined || last.pid !== pid) dirty.set(name, { pid, atMs: now, rate: undefined });
    else if (now - last.atMs >= dirtyEveryMs) {
      const look = { pid, atMs: now, rate: last.rate };
      dirty.set(name, look);
      kernel.dirtyRate(name, AbortSignal.timeout(20_000)).then(
        (rate) => {
          look.rate = rate;
        },
        () => {
          look.rate = undefined;
        },
      );
    }
    const rate = dirty.get(name)?.rate;
    return rate === undefined ? {} : { dirtyBytesPerSecond: rate, dirtySource: "wp_async" };
  }
  const ownCpuUs = () => {
    const { user, system } = process.cpuUsage();
    return user + system + helperCpuUs;
  };
  const measureNode = createNodeMeter({ hostInterface, usage, read: readNow, monotonicMs, ownCpuUs });
  let before = monotonicMs();
  return async () => {
    const spanMs = Math.round(monotonicMs() - before);
    before = monotonicMs();
    const samples: Record<string, NonNullable<TelemetryReport["workloads"]>[string]> = {};
    const running = workloads().filter(({ phase }) => phase === "running");
    for (const name of meters.keys()) {
      if (running.some((status) => status.name === name)) continue;
      meters.delete(name);
      dirty.delete(name);
    }
    for (const { name, usage: onBoard } of running) {
      if (name === undefined) continue;
      const place = await runtime.locate(name).catch((caught: unknown) => {
        log.debug({ err: caught, workload: name }, "a workload cannot be measured");
        return undefined;
      });
      if (place === undefined) continue;
      const meter = meters.get(name) ?? createWorkloadMeter({ read: readNow, monotonicMs });
      meters.set(name, meter);
      const { sample, faultsPerSecond } = meter(place);
      samples[name] = {
        ...sample,
        spanMs,
        ...writesOf(faultsPerSecond, dirtyRate(name, place)),
        ...(await sockets(place, onBoard?.tcpEstablished)),
      };
    }
    const helper = await kernel.ask("usage").catch(() => undefined);
    if (typeof helper?.cpuUs === "number") helperCpuUs = helper.cpuUs;
    return { node: { ...(await measureNode()), spanMs }, workloads: samples };
  };
}

/** Counted where the kernel can; else a fault a page that was new to its process is a lower bound; else unknown. */
function writesOf(faultsPerSecond: number | undefined, counted: WorkloadSample): WorkloadSample {
  if (counted.dirtyBytesPerSecond !== undefined) return counted;
  if (faultsPerSecond === undefined) return { dirtySource: "unknown" };
  return { dirtyBytesPerSecond: faultsPerSecond * 4096, dirtySource: "minor_faults" };
}

/** At once: these files have no disk behind them, and the detour over threads costs four times as much. */
function readNow(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined; // not on this kernel, or the process has gone
  }
}
