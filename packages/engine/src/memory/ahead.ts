// Source: one move's memory, from the first pass to the freeze. What goes wrong here harms neither the workload nor the move: memory then travels with the dump.
import { Fault, fault } from "@aether/contract";
import type { CopyLimits, CopyReport, MigrationRef, Peer, Progress } from "../engine.ts";
import type { Host } from "../host.ts";
import type { Link } from "../link/link.ts";
import type { WorkloadRecord } from "../record.ts";
import { pidsOf } from "../runtime/cgroup.ts";
import { memoryClasses, totalBytes } from "./classes.ts";
import { type CopyPlan, copyMemory, type Freshness, keepFresh } from "./copy-memory.ts";
import type { KnownRates } from "./mode.ts";
import { untrackable } from "./pins.ts";
import { budgetOf, type Costs, forecast, linkRate } from "./rounds.ts";
import { cpuTicks, createThrottle, percentOf, quotaFile, type Throttle, throttleTo } from "./throttle.ts";
import { startTracker, type Tracker } from "./tracker.ts";
import { chooseTransport } from "./transport.ts";

export interface Ahead {
  report: CopyReport;
  /** When the freeze must begin, by performance.now(); infinite where nothing presses. */
  readonly dueMs: number;
  /**
   * For the freeze: no more passes but one last, then the tracker. Undefined where memory was not copied, or tracking has ended: `report` says why.
   * Throws MODE_UNAVAILABLE instead where the mode was asked for by name.
   */
  ready(signal: AbortSignal): Promise<Tracker | undefined>;
  close(): void;
}

/** Of the last move to a node, bytes a second. */
export interface LinkRates {
  /** Memory that travelled, whatever limited it. */
  readonly memory: number;
  /** What the link itself carries, by the last move whose pages the agents did not carry: those say as much of their processors. */
  readonly wire: number | undefined;
  /** Memory that travelled compressed, the last time that it did. */
  readonly packed: number | undefined;
}

/** Of memory that comes again while it is copied, from which on its target counts it as written (native/src/memory/inherit.c). */
const writtenShare = 1 / 32;

/** So much memory is inherited whether it is written or not, bytes; as there. */
export const alwaysInheritedBytes = 256 << 20;

const assumedLinkRate = 400 * 2 ** 20;

/**
 * Copies ahead, as a part of the copy step. Throws what the signal says, and MODE_UNAVAILABLE where the mode was asked for by name.
 * @param rates by node, of earlier moves; written to. @param known what the preflight was told.
 * @param stdio the target needs it to put memory in place while it comes. @param dirtyBytesPerSecond as measured just now, where that makes a difference to it
 */
export async function copyAhead(
  host: Host,
  link: Link,
  ref: MigrationRef,
  peer: Peer,
  limits: CopyLimits,
  costs: Costs,
  rates: Map<string, LinkRates>,
  known: KnownRates,
  { stdio, dirtyBytesPerSecond }: { readonly stdio: WorkloadRecord["stdio"]; readonly dirtyBytesPerSecond: number | undefined },
  progress: Progress,
  signal: AbortSignal,
): Promise<Ahead> {
  const pids = await pidsOf(host, ref.workload);
  const classes = await memoryClasses(pids);
  const holds = { memoryBytes: totalBytes(classes), classes };
  const last = rates.get(peer.nodeId);
  const assumed = {
    linkBytesPerSecond: last?.memory ?? known.linkBytesPerSecond ?? assumedLinkRate,
    dirtyBytesPerSecond: known.dirtyBytesPerSecond ?? 0,
    basis:
      last !== undefined
        ? "the link as in the last move"
        : known.linkBytesPerSecond === undefined
          ? "the link is assumed"
          : (known.basis ?? ""),
  };
  const isWritten = Math.max(assumed.dirtyBytesPerSecond, dirtyBytesPerSecond ?? 0) >= assumed.linkBytesPerSecond * writtenShare;
  const budgetMs = limits.timeLeftMs === undefined ? undefined : budgetOf(limits.timeLeftMs);
  // Half of what is kept back may go into the last passes.
  const dueMs = performance.now() + ((limits.timeLeftMs ?? Number.POSITIVE_INFINITY) + (budgetMs ?? 0)) / 2;
  const dueAtMs = budgetMs === undefined ? undefined : performance.timeOrigin + performance.now() + budgetMs;
  const mayThrottle = (limits.minCpuPercent ?? 0) > 0;
  const quota = mayThrottle ? await quotaFile(host, ref.workload) : undefined;
  const throttle = quota === undefined ? undefined : createThrottle(host, ref.workload, quota);
  const holdDown = throttle && holdingDown(host, ref, throttle, limits.minCpuPercent ?? 0);
  const plan: CopyPlan = { holds, costs, assumed, dueAtMs, ...(holdDown && { holdDown }) };
  const expected = forecast(holds, [], costs, assumed);
  const without = (end: "deadline" | "failed", endDetail: string, rounds: CopyReport["rounds"] = []): Ahead => {
    if (limits.isModeRequired === true) throw refused(endDetail);
    const report = { forecast: expected, predicted: expected, rounds, end, endDetail };
    progress.memory?.(report);
    return { report, dueMs, ready: async () => undefined, close: () => undefined };
  };
  if (budgetMs !== undefined && expected.totalMs > budgetMs)
    return without(
      "deadline",
      `${Math.round(budgetMs)} ms are left, copying ahead takes ${Math.round(expected.totalMs)} ms (${expected.basis})`,
    );
  const pinned = await untrackable(pids, !host.criuReadsHeld);
  if (pinned !== undefined) return without("failed", pinned);
  let tracker: Tracker | undefined;
  try {
    const started = await startTracker(
      host,
      link,
      ref,
      peer,
      chooseTransport(last?.wire ?? known.linkBytesPerSecond, last?.packed),
      quota,
      stdio && { stdout: stdio.stdout, stderr: stdio.stderr, memoryBytes: holds.memoryBytes, isWritten },
      signal,
    );
    tracker = started.tracker;
    const copied = await copyMemory(tracker, plan, progress, signal);
    const report = { ...copied, predicted: expected, transport: started.transport, wireBytes: tracker.wireBytes() };
    const rate = linkRate(report.rounds);
    if (rate !== undefined)
      rates.set(peer.nodeId, {
        memory: rate,
        wire: tracker.linkBytesPerSecond() ?? last?.wire,
        packed: started.transport === "zstd" ? rate : last?.packed,
      });
    const why = overObjective(report, limits.maxFreezeMs ?? 0);
    if (why !== undefined) throw why;
    return ahead(host, ref, tracker, report, dueMs, limits, throttle);
  } catch (caught) {
    tracker?.close();
    await throttle?.lift();
    signal.throwIfAborted();
    if (caught instanceof Fault && caught.code === "MODE_UNAVAILABLE") throw caught;
    host.options.log.warn({ workload: ref.workload, err: caught }, "memory.not_ahead");
    const problem = Fault.from(caught);
    return without(problem.code === "DEADLINE_EXCEEDED" ? "deadline" : "failed", problem.message);
  }
}

const refused = (why: string) =>
  fault("MODE_UNAVAILABLE", `memory cannot be copied ahead any more: ${why}`, {
    hint: "The workload runs on. Move it with --mode auto, which takes the next best mode.",
  });

/** Why a workload that does not stop writing is not frozen. */
export function overObjective({ forecast: { freezeMs }, end, endDetail = "" }: CopyReport, maxFreezeMs: number): Fault | undefined {
  if (end !== "no-gain" || maxFreezeMs === 0 || freezeMs <= maxFreezeMs) return undefined;
  const why = `${endDetail}; the freeze would take about ${Math.round(freezeMs)} ms, and its objective is ${Math.round(maxFreezeMs)} ms`;
  return fault("MODE_UNAVAILABLE", why, {
    hint: "The workload runs on. Let it be held down while it is copied (--min-cpu), raise its objective (--max-freeze), or move it with --mode post-copy, whose freeze does not depend on its writes.",
  });
}

/** From when on its CPU is counted: now. */
function holdingDown(host: Host, ref: MigrationRef, throttle: Throttle, minPercent: number): NonNullable<CopyPlan["holdDown"]> {
  const startedMs = performance.now();
  const before = cpuTicks(host, ref.workload);
  return async (rounds) => {
    const used = percentOf((await cpuTicks(host, ref.workload)) - (await before), performance.now() - startedMs);
    const percent = throttleTo(rounds, used, minPercent);
    if (percent !== undefined) await throttle.hold(percent);
    return percent;
  };
}

/** A freeze that does not come is not waited for with less CPU. */
const longestThrottleMs = 30_000;

function ahead(
  host: Host,
  ref: MigrationRef,
  tracker: Tracker,
  first: CopyReport,
  dueMs: number,
  limits: CopyLimits,
  throttle: Throttle | undefined,
): Ahead {
  const lift = () =>
    throttle?.lift().catch((caught: unknown) => host.options.log.error({ err: caught, workload: ref.workload }, "memory.throttle"));
  const patience = throttle && setTimeout(lift, longestThrottleMs);
  patience?.unref();
  const fresh: Freshness = keepFresh(tracker);
  const self: Ahead = {
    report: first,
    dueMs,
    async ready(signal) {
      try {
        await fresh.stop();
        const pinned = await untrackable(await pidsOf(host, ref.workload), !host.criuReadsHeld);
        if (pinned !== undefined) throw new Error(pinned);
        await tracker.round(signal);
        return tracker;
      } catch (caught) {
        self.close();
        signal.throwIfAborted();
        const endDetail = Fault.from(caught).message;
        if (limits.isModeRequired === true) throw refused(endDetail);
        self.report = { ...first, end: "failed", endDetail };
        return undefined;
      }
    },
    close() {
      clearTimeout(patience);
      tracker.close();
      lift();
    },
  };
  return self;
}
