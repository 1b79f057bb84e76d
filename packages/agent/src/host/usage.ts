// How busy this machine is: from /proc/stat and /proc/meminfo, two small reads for each heartbeat.
import { readFile } from "node:fs/promises";

export interface HostUsage {
  /** 0 to 1 over all CPUs, since the last call; 0 on the first. */
  readonly cpuFraction: number;
  readonly memoryUsedBytes: number;
  readonly memoryAvailableBytes: number;
  /** Of this process. */
  readonly agentResidentBytes: number;
}

/** The answer measures each time over the span since its last call. */
export function createUsageMeter(read: (path: string) => Promise<string> = (path) => readFile(path, "utf8")): () => Promise<HostUsage> {
  let before: { busy: number; total: number } | undefined;
  return async () => {
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
