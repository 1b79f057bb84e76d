// Source: one move's memory, from the first pass to the freeze. What goes wrong here harms neither the workload nor the move: memory then travels with the dump.
import { Fault, fault } from "@aether/contract";
import type { CopyLimits, CopyReport, MigrationRef, Peer, Progress } from "../engine.ts";
import type { Host } from "../host.ts";
import type { Link } from "../link/link.ts";
import { pidsOf } from "../runtime/cgroup.ts";
import { memoryClasses, totalBytes } from "./classes.ts";
import { type CopyPlan, copyMemory, type Freshness, keepFresh } from "./copy-memory.ts";
import type { KnownRates } from "./mode.ts";
import { untrackable } from "./pins.ts";
import { type Costs, forecast, linkRate } from "./rounds.ts";
import { startTracker, type Tracker } from "./tracker.ts";

export interface Ahead {
  report: CopyReport;
  /**
   * For the freeze: no more passes but one last, then the tracker. Undefined where memory was not copied, or tracking has ended: `report` says why.
   * Throws MODE_UNAVAILABLE instead where the mode was asked for by name.
   */
  ready(signal: AbortSignal): Promise<Tracker | undefined>;
  close(): void;
}

const assumedLinkRate = 400 * 2 ** 20;

/**
 * Copies ahead, as a part of the copy step. Throws what the signal says, and MODE_UNAVAILABLE where the mode was asked for by name.
 * @param rates bytes a second by node, of earlier moves; written to. @param known what the preflight was told
 */
export async function copyAhead(
  host: Host,
  link: Link,
  ref: MigrationRef,
  peer: Peer,
  limits: CopyLimits,
  costs: Costs,
  rates: Map<string, number>,
  known: KnownRates,
  progress: Progress,
  signal: AbortSignal,
): Promise<Ahead> {
  const pids = await pidsOf(host, ref.workload);
  const classes = await memoryClasses(pids);
  const holds = { memoryBytes: totalBytes(classes), classes };
  const last = rates.get(peer.nodeId);
  const assumed = {
    linkBytesPerSecond: last ?? known.linkBytesPerSecond ?? assumedLinkRate,
    dirtyBytesPerSecond: known.dirtyBytesPerSecond ?? 0,
    basis:
      last !== undefined
        ? "the link as in the last move"
        : known.linkBytesPerSecond === undefined
          ? "the link is assumed"
          : (known.basis ?? ""),
  };
  // Some of the time is kept back: where copying ahead does not work out, there must be enough left to move otherwise.
  const budgetMs = limits.timeLeftMs === undefined ? undefined : limits.timeLeftMs - Math.min(10_000, limits.timeLeftMs * 0.2);
  const dueAtMs = budgetMs === undefined ? undefined : performance.timeOrigin + performance.now() + budgetMs;
  const plan: CopyPlan = { holds, costs, assumed, dueAtMs };
  const expected = forecast(holds, [], costs, assumed);
  const without = (end: "deadline" | "failed", endDetail: string, rounds: CopyReport["rounds"] = []): Ahead => {
    if (limits.isModeRequired === true) throw refused(endDetail);
    const report = { forecast: expected, predicted: expected, rounds, end, endDetail };
    progress.memory?.(report);
    return { report, ready: async () => undefined, close: () => undefined };
  };
  if (budgetMs !== undefined && expected.totalMs > budgetMs)
    return without(
      "deadline",
      `${Math.round(budgetMs)} ms are left, copying ahead takes ${Math.round(expected.totalMs)} ms (${expected.basis})`,
    );
  const pinned = await untrackable(pids);
  if (pinned !== undefined) return without("failed", pinned);
  let tracker: Tracker | undefined;
  try {
    tracker = await startTracker(host, link, ref, peer, signal);
    const report = { ...(await copyMemory(tracker, plan, progress, signal)), predicted: expected };
    const rate = linkRate(report.rounds);
    if (rate !== undefined) rates.set(peer.nodeId, rate);
    return ahead(host, ref, tracker, report, limits);
  } catch (caught) {
    tracker?.close();
    signal.throwIfAborted();
    host.options.log.warn({ workload: ref.workload, err: caught }, "memory.not_ahead");
    const problem = Fault.from(caught);
    return without(problem.code === "DEADLINE_EXCEEDED" ? "deadline" : "failed", problem.message);
  }
}

const refused = (why: string) =>
  fault("MODE_UNAVAILABLE", `memory cannot be copied ahead any more: ${why}`, {
    hint: "The workload runs on. Move it with --mode auto, which takes the next best mode.",
  });

function ahead(host: Host, ref: MigrationRef, tracker: Tracker, first: CopyReport, limits: CopyLimits): Ahead {
  const fresh: Freshness = keepFresh(tracker);
  const self: Ahead = {
    report: first,
    async ready(signal) {
      try {
        await fresh.stop();
        const pinned = await untrackable(await pidsOf(host, ref.workload));
        if (pinned !== undefined) throw new Error(pinned);
        await tracker.round(signal);
        return tracker;
      } catch (caught) {
        tracker.close();
        signal.throwIfAborted();
        const endDetail = Fault.from(caught).message;
        if (limits.isModeRequired === true) throw refused(endDetail);
        self.report = { ...first, end: "failed", endDetail };
        return undefined;
      }
    },
    close: tracker.close,
  };
  return self;
}
