// How busy this machine is, from /proc/stat and /proc/meminfo. The kernel counts every interrupt line anew for a read of /proc/stat (about
// 0.5 ms), so it is read every few seconds, not for each heartbeat.
import { readFile } from "node:fs/promises";
import { type Clock, systemClock } from "@aether/kit";

export interface HostUsage {
  /** 0 to 1 over all CPUs, since the last call; 0 on the first. */
  readonly cpuFraction: number;
  readonly memoryUsedBytes: number;
  readonly memoryAvailableBytes: number;
  /** Of this process. */
  readonly agentResidentBytes: number;
}

export interface UsageMeterOptions {
  /** What was measured is given again for so long. Default 5000. */
  readonly keepMs?: number;
  readonly read?: (path: string) => Promise<string>;
  readonly clock?: Clock;
}

/** Each measurement is over the span since the one before. */
export function createUsageMeter(options: UsageMeterOptions = {}): () => Promise<HostUsage> {
  const { keepMs = 5_000, read = (path: string) => readFile(path, "utf8"), clock = systemClock } = options;
  let before: { busy: number; total: number } | undefined;
  let kept: { usage: HostUsage; untilMs: number } | undefined;
  const measure = async (): Promise<HostUsage> => {
    const now = parseCpuTimes(await read("/proc/stat"));
    const { totalBytes, availableBytes } = parseMemory(await read("/proc/meminfo"));
    const total = before ? now.total - before.total : 0;
    const cpuFraction = before && total > 0 ? Math.min(1, Math.max(0, (now.busy - before.busy) / total)) : 0;
    before = now;
    return {
      cpuFraction,
      memoryUsedBytes: totalBytes - availableBytes,
      memoryAvailableBytes: availableBytes,
      agentResidentBytes: process.memoryUsage.rss(),
    };
  };
  return async () => {
    if (kept === undefined || clock.monotonicMs() >= kept.untilMs) {
      kept = { usage: await measure(), untilMs: clock.monotonicMs() + keepMs };
    }
    return kept.usage;
  };
}

/** proc(5): user nice system idle iowait irq softirq steal; guest times are counted in user already. */
export function parseCpuTimes(stat: string): { busy: number; total: number } {
  const fields = (/^cpu\s+(.*)$/m.exec(stat)?.[1] ?? "").split(/\s+/).map(Number).slice(0, 8);
  const total = fields.reduce((sum, ticks) => sum + ticks, 0);
  return { busy: total - (fields[3] ?? 0) - (fields[4] ?? 0), total };
}

export function parseMemory(meminfo: string): { totalBytes: number; availableBytes: number } {
  const bytes = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(meminfo)?.[1] ?? 0) * 1024;
  return { totalBytes: bytes("MemTotal"), availableBytes: bytes("MemAvailable") };
}
