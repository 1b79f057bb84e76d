// What the kernel saw of a workload around a move: when its first task was stopped, when the first one ran again, what TCP reset and sent again
// in its namespace. By our programs in the kernel where they run; by counters of /proc, which know no times, where not. Unknown is null.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { type Host, namespaceName } from "../host.ts";
import type { TcpCounters } from "../network/workload-network.ts";
import { cgroupPath } from "../runtime/cgroup.ts";

export interface KernelFacts {
  readonly source: "ebpf" | "proc" | "unknown";
  /** Wall-clock ms of this host. */
  readonly stoppedAtMs: number | null;
  readonly ranAtMs: number | null;
  readonly resetsSent: number | null;
  readonly resetsReceived: number | null;
  readonly segmentsRetransmitted: number | null;
  /** How long tasks that could run waited for a CPU, µs; upper ends of powers of two. */
  readonly runQueueP50Us: number | null;
  readonly runQueueP99Us: number | null;
  /** Since the counting began. */
  readonly observedMs: number | null;
}

export const nothingKnown: KernelFacts = {
  source: "unknown",
  stoppedAtMs: null,
  ranAtMs: null,
  resetsSent: null,
  resetsReceived: null,
  segmentsRetransmitted: null,
  runQueueP50Us: null,
  runQueueP99Us: null,
  observedMs: null,
};

/** Never throws: a move does not fail because it cannot be measured. */
export interface KernelWatch {
  /** Counts from zero from now on. The first call attaches programs (tens of ms): make it ahead of the freeze. */
  arm(workload: string): Promise<void>;
  /** Undefined where our programs do not run or were not armed. */
  facts(workload: string): Promise<KernelFacts | undefined>;
  /** Watches it no more, after a while; arming it again in between keeps it. */
  drop(workload: string, afterMs?: number): void;
}

/** A question in a freeze must not hold it up. */
const askMs = 500;

export function createKernelWatch(host: Host): KernelWatch {
  const { helper } = host;
  const armed = new Map<string, { readonly atMs: number }>();
  const nameOf = (workload: string) => namespaceName(host, workload);

  return {
    async arm(workload) {
      const name = nameOf(workload);
      armed.delete(workload);
      await helper.ask(["arm", name, watchedCgroup(host, workload), `/run/netns/${name}`]).then(
        () => armed.set(workload, { atMs: performance.now() }),
        (caught: unknown) => host.options.log.debug({ err: caught, workload }, "kernel.cannot_watch"),
      );
    },
    async facts(workload) {
      const one = armed.get(workload);
      const said = one && (await helper.ask(["facts", nameOf(workload)], askMs).catch(() => undefined));
      if (one === undefined || said === undefined) return undefined;
      const number = (name: string) => (typeof said[name] === "number" ? said[name] : null);
      return {
        source: "ebpf",
        stoppedAtMs: wallMs(number("stoppedUs")),
        ranAtMs: wallMs(number("ranUs")),
        resetsSent: number("resetsSent"),
        resetsReceived: number("resetsReceived"),
        segmentsRetransmitted: number("retransmits"),
        runQueueP50Us: number("waitP50Us"),
        runQueueP99Us: number("waitP99Us"),
        observedMs: performance.now() - one.atMs,
      };
    },
    drop(workload, afterMs = 0) {
      const one = armed.get(workload);
      if (one === undefined) return;
      const timer = setTimeout(() => {
        if (armed.get(workload) !== one) return;
        armed.delete(workload);
        helper.ask(["drop", nameOf(workload)]).catch(() => undefined);
      }, afterMs);
      timer.unref();
    },
  };
}

/** What the counters of /proc say, where our programs do not run: no times, and no resets received. */
export const factsOfProc = (before: TcpCounters, after: TcpCounters, observedMs: number): KernelFacts => ({
  ...nothingKnown,
  source: "proc",
  resetsSent: Math.max(0, after.resetsSent - before.resetsSent),
  segmentsRetransmitted: Math.max(0, after.segmentsRetransmitted - before.segmentsRetransmitted),
  observedMs,
});

/** CLOCK_MONOTONIC, µs, on the clock that phases and links use. */
function wallMs(monotonicUs: number | null): number | null {
  if (monotonicUs === null) return null;
  return monotonicUs / 1000 + (performance.timeOrigin + performance.now() - Number(process.hrtime.bigint()) / 1e6);
}

/** The folder by whose id the programs know the workload: cgroup2's where it is mounted, else that of version 1's freezer. */
function watchedCgroup(host: Host, workload: string): string {
  const root = "/sys/fs/cgroup";
  const path = cgroupPath(host, workload);
  if (existsSync(join(root, "cgroup.controllers"))) return join(root, path);
  return existsSync(join(root, "unified/cgroup.controllers")) ? join(root, "unified", path) : join(root, "freezer", path);
}
