// Source: passes over the memory while the workload runs, for as long as another one pays; then now and then, so that little is left when the freeze comes.
import { fault } from "@aether/contract";
import { sleep } from "@aether/kit";
import type { CopyReport, Progress } from "../engine.ts";
import { phase } from "../steps/journal.ts";
import { type Costs, type Forecast, forecast, type Holds, judge, type Round } from "./rounds.ts";
import type { Tracker } from "./tracker.ts";

export interface CopyPlan {
  readonly holds: Holds;
  readonly costs: Costs;
  readonly assumed: { readonly linkBytesPerSecond: number; readonly dirtyBytesPerSecond: number; readonly basis: string };
  /** When the freeze must begin, ms since the epoch. */
  readonly dueAtMs: number | undefined;
  /** Where the workload's policy allows it: gives it less CPU, in percent of one processor; undefined where that would not help. */
  readonly holdDown?: (rounds: readonly Round[]) => Promise<number | undefined>;
}

/** How long the first pass is watched before its rate is believed. */
const believedAfterMs = 1500;

/**
 * Makes passes until `judge` says that it is enough. Each is a phase, and is reported with a new forecast. Throws where the tracker ends, and
 * DEADLINE_EXCEEDED, with the tracker ended, as soon as it shows that the pass under way would not end in time.
 */
export async function copyMemory(tracker: Tracker, plan: CopyPlan, progress: Progress, signal: AbortSignal): Promise<CopyReport> {
  const rounds: (Round & { forecast: Forecast })[] = [];
  let report: CopyReport = { forecast: forecast(plan.holds, [], plan.costs, plan.assumed), rounds: [] };
  let throttledToPercent: number | undefined;
  let since = 0; // the pass from which on the workload writes as it does now
  progress.memory?.(report);
  for (;;) {
    const round = await phase(progress, `copy.pass-${rounds.length}`, async (facts) => {
      const done = await inTime(tracker, plan, rounds.length === 0, progress, signal);
      Object.assign(facts, {
        sentBytes: String(done.sentBytes),
        writtenPages: String(done.writtenPages),
        zeroPages: String(done.zeroPages),
      });
      return done;
    });
    const expected = forecast(plan.holds, [...rounds, round], plan.costs, plan.assumed);
    rounds.push({ ...round, forecast: expected });
    let verdict = judge(rounds.slice(since), performance.timeOrigin + performance.now(), plan.dueAtMs);
    if (verdict.end === "no-gain" && throttledToPercent === undefined) {
      throttledToPercent = await plan.holdDown?.(rounds);
      if (throttledToPercent !== undefined) {
        since = rounds.length - 1;
        verdict = { again: true };
      }
    }
    report = {
      forecast: expected,
      rounds: [...rounds],
      ...(throttledToPercent === undefined ? {} : { throttledToPercent }),
      ...(verdict.end === undefined ? {} : { end: verdict.end, endDetail: verdict.detail ?? "" }),
    };
    progress.memory?.(report);
    if (!verdict.again) return report;
  }
}

/** One pass, given up when the time is over or, in the first one, when its rate says that it will be. */
async function inTime(tracker: Tracker, plan: CopyPlan, isFirst: boolean, progress: Progress, signal: AbortSignal): Promise<Round> {
  const { dueAtMs } = plan;
  const { memoryBytes } = plan.holds;
  const late = new AbortController();
  const giveUp = (why: string) => late.abort(fault("DEADLINE_EXCEEDED", why));
  const startedMs = performance.now();
  const leftMs = dueAtMs === undefined ? undefined : dueAtMs - performance.timeOrigin - startedMs;
  const timer =
    leftMs === undefined ? undefined : setTimeout(() => giveUp("a pass over the memory did not end in time"), Math.max(0, leftMs));
  try {
    return await tracker.round(AbortSignal.any([signal, late.signal]), (bytes) => {
      progress.bytes("copy.memory", bytes, memoryBytes);
      const ms = performance.now() - startedMs;
      if (!isFirst || leftMs === undefined || ms < believedAfterMs || bytes === 0) return;
      const neededMs = (memoryBytes / bytes) * ms;
      if (neededMs > leftMs)
        giveUp(`copying all memory takes ${Math.round(neededMs / 1000)} s on this link, and ${Math.round(leftMs / 1000)} s were left`);
    });
  } catch (caught) {
    late.signal.throwIfAborted(); // its reason, not that the tracker ended of it
    throw caught;
  } finally {
    clearTimeout(timer);
  }
}

const freshEveryMs = 250;

export interface Freshness {
  /** Waits for the pass under way; no further one begins. */
  stop(): Promise<void>;
}

/** Goes on with passes until it is stopped. A tracker that ends meanwhile is no failure: the freeze sees it. */
export function keepFresh(tracker: Tracker): Freshness {
  const over = new AbortController();
  const passes = (async () => {
    while (!over.signal.aborted) {
      await sleep(freshEveryMs, over.signal);
      await tracker.freshen(AbortSignal.timeout(60_000));
    }
  })().catch(() => undefined);
  return {
    async stop() {
      over.abort();
      await passes;
    },
  };
}
