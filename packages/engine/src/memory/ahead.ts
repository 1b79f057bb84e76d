// Source: one move's memory, from the first pass to the freeze. What goes wrong here harms neither the workload nor the move: memory then travels with the dump.
import { Fault } from "@aether/contract";
import type { CopyLimits, CopyReport, MigrationRef, Peer, Progress } from "../engine.ts";
import type { Host } from "../host.ts";
import type { Link } from "../link/link.ts";
import { pidsOf } from "../runtime/cgroup.ts";
import { residentBytes } from "../runtime/process.ts";
import { type CopyPlan, copyMemory, type Freshness, keepFresh } from "./copy-memory.ts";
import { untrackable } from "./pins.ts";
import { type Costs, forecast, linkRate } from "./rounds.ts";
import { startTracker, type Tracker } from "./tracker.ts";

export interface Ahead {
  report: CopyReport;
  /** For the freeze: no more passes but one last, then the tracker. Undefined where memory was not copied, or tracking has ended: `report` says why. */
  ready(signal: AbortSignal): Promise<Tracker | undefined>;
  close(): void;
}

const assumedLinkRate = 400 * 2 ** 20;

/** Copies ahead, as a part of the copy step. Throws only what the signal says. @param rates bytes a second by node, of earlier moves; written to. */
export async function copyAhead(
  host: Host,
  link: Link,
  ref: MigrationRef,
  peer: Peer,
  limits: CopyLimits,
  costs: Costs,
  rates: Map<string, number>,
  progress: Progress,
  signal: AbortSignal,
): Promise<Ahead> {
  const pids = await pidsOf(host, ref.workload);
  const memoryBytes = await residentBytes(pids);
  const known = rates.get(peer.nodeId);
  const assumed = {
    linkBytesPerSecond: known ?? assumedLinkRate,
    dirtyBytesPerSecond: 0,
    basis: known === undefined ? "the link is assumed" : "the link as in the last move",
  };
  // Some of the time is kept back: where copying ahead does not work out, there must be enough left to move otherwise.
  const budgetMs = limits.timeLeftMs === undefined ? undefined : limits.timeLeftMs - Math.min(10_000, limits.timeLeftMs * 0.2);
  const dueAtMs = budgetMs === undefined ? undefined : performance.timeOrigin + performance.now() + budgetMs;
  const plan: CopyPlan = { memoryBytes, costs, assumed, dueAtMs };
  const expected = forecast(memoryBytes, [], costs, assumed);
  const without = (end: "deadline" | "failed", endDetail: string, rounds: CopyReport["rounds"] = []): Ahead => {
    const report = { forecast: expected, rounds, end, endDetail };
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
    const report = await copyMemory(tracker, plan, progress, signal);
    const rate = linkRate(report.rounds);
    if (rate !== undefined) rates.set(peer.nodeId, rate);
    return ahead(host, ref, tracker, report);
  } catch (caught) {
    tracker?.close();
    signal.throwIfAborted();
    host.options.log.warn({ workload: ref.workload, err: caught }, "memory.not_ahead");
    const problem = Fault.from(caught);
    return without(problem.code === "DEADLINE_EXCEEDED" ? "deadline" : "failed", problem.message);
  }
}

function ahead(host: Host, ref: MigrationRef, tracker: Tracker, first: CopyReport): Ahead {
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
        self.report = { ...first, end: "failed", endDetail: Fault.from(caught).message };
        return undefined;
      }
    },
    close: tracker.close,
  };
  return self;
}
