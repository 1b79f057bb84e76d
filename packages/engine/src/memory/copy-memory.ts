// Source: passes over the memory while the workload runs, for as long as another one pays; then now and then, so that little is left when the freeze comes.
import { sleep } from "@aether/kit";
import type { CopyReport, Progress } from "../engine.ts";
import { phase } from "../steps/journal.ts";
import { type Costs, type Forecast, forecast, judge, type Round } from "./rounds.ts";
import type { Tracker } from "./tracker.ts";

export interface CopyPlan {
  readonly memoryBytes: number;
  readonly costs: Costs;
  readonly assumed: { readonly linkBytesPerSecond: number; readonly dirtyBytesPerSecond: number; readonly basis: string };
  /** When the freeze must begin, ms since the epoch. */
  readonly dueAtMs: number | undefined;
}

/** Makes passes until `judge` says that it is enough. Each is a phase, and is reported with a new forecast. Throws where the tracker ends. */
export async function copyMemory(tracker: Tracker, plan: CopyPlan, progress: Progress, signal: AbortSignal): Promise<CopyReport> {
  const rounds: (Round & { forecast: Forecast })[] = [];
  let report: CopyReport = { forecast: forecast(plan.memoryBytes, [], plan.costs, plan.assumed), rounds };
  progress.memory?.(report);
  for (;;) {
    const round = await phase(progress, `copy.pass-${rounds.length}`, async (facts) => {
      const done = await tracker.round(signal, (bytes) => progress.bytes("copy.memory", bytes, plan.memoryBytes));
      Object.assign(facts, {
        sentBytes: String(done.sentBytes),
        writtenPages: String(done.writtenPages),
        zeroPages: String(done.zeroPages),
      });
      return done;
    });
    const expected = forecast(plan.memoryBytes, [...rounds, round], plan.costs, plan.assumed);
    rounds.push({ ...round, forecast: expected });
    const verdict = judge(rounds, performance.timeOrigin + performance.now(), plan.dueAtMs);
    report = {
      forecast: expected,
      rounds: [...rounds],
      ...(verdict.end === undefined ? {} : { end: verdict.end, endDetail: verdict.detail ?? "" }),
    };
    progress.memory?.(report);
    if (!verdict.again) return report;
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
      await tracker.round(AbortSignal.timeout(60_000));
    }
  })().catch(() => undefined);
  return {
    async stop() {
      over.abort();
      await passes;
    },
  };
}
