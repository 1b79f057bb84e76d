// Asks the engine again and again whether each running workload could be moved, so that the answer is known before the notice. An answer goes up
// when it has changed, and every few minutes as a sign that it is still true; the control plane is told all of them at each Hello.
import type { WorkloadPreflightSchema } from "@aether/contract/gen/aether/v2/preflight_pb";
import type { Engine } from "@aether/engine";
import { type Clock, type Logger, type Stoppable, sleep, systemClock } from "@aether/kit";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { needsToProto, preflightToProto } from "../commands/convert.ts";

export type PreflightMessage = MessageInitShape<typeof WorkloadPreflightSchema>;

export interface PreflightsOptions {
  readonly engine: Pick<Engine, "inspect">;
  /** Names of the workloads that run now. */
  running(): readonly string[];
  readonly log: Logger;
  readonly clock?: Clock;
  /** From one look at a workload to the next, ms. */
  readonly everyMs?: number;
}

export interface Preflights extends Stoppable {
  /** The newest answer, whether it was told or not. */
  newest(workload: string): PreflightMessage | undefined;
  /** The newest answer where it was not told yet; told when this returns. */
  news(workload: string): PreflightMessage | undefined;
}

/** An unchanged answer is told again after this long: core takes one of ten minutes for old. */
const repeatMs = 240_000;
/** How soon a new workload is noticed, ms. */
const tickMs = 2_000;

interface Entry {
  message: PreflightMessage;
  /** Everything but times and measurements. */
  words: string;
  isNews: boolean;
  toldAtMs: number;
}

export function startPreflights(options: PreflightsOptions): Preflights {
  const { engine, log, clock = systemClock, everyMs = 30_000 } = options;
  const entries = new Map<string, Entry>();
  /** When each was last looked at, whatever came of it: one that cannot be looked at must not take the turns of the others. */
  const lookedAtMs = new Map<string, number>();
  const stopping = new AbortController();

  async function look(workload: string): Promise<void> {
    const { report, tookMs, cpuMs } = await engine.inspect(workload, AbortSignal.any([stopping.signal, AbortSignal.timeout(20_000)]));
    const message: PreflightMessage = {
      report: preflightToProto(report),
      needs: needsToProto(report.needs),
      checkedAt: timestampFromMs(clock.nowMs()),
      tookMs,
      cpuMs,
    };
    const { cpuFeatures, xsaveComponents, timeNamespace, places } = report.needs;
    const words = JSON.stringify([
      report.blockers,
      report.warnings,
      report.chosenMode,
      cpuFeatures,
      xsaveComponents,
      timeNamespace,
      places,
    ]);
    const before = entries.get(workload);
    const isDue = before === undefined || before.words !== words || clock.monotonicMs() - before.toldAtMs >= repeatMs;
    if (before?.words !== words)
      log.info({ workload, blockers: report.blockers.map(({ code }) => code), tookMs, cpuMs }, "workload.preflight");
    entries.set(workload, {
      message,
      words,
      isNews: isDue || before.isNews,
      toldAtMs: before?.toldAtMs ?? 0,
    });
  }

  const loop = (async () => {
    while (!stopping.signal.aborted) {
      const running = options.running();
      for (const known of [entries, lookedAtMs]) for (const name of known.keys()) if (!running.includes(name)) known.delete(name);
      // A new workload at once, the others in turn, one a tick: a node with many does not look at all of them together.
      const due = running.filter((name) => clock.monotonicMs() - (lookedAtMs.get(name) ?? Number.NEGATIVE_INFINITY) >= everyMs);
      const [next] = due.sort((a, b) => (lookedAtMs.get(a) ?? -1) - (lookedAtMs.get(b) ?? -1));
      if (next !== undefined) {
        lookedAtMs.set(next, clock.monotonicMs());
        await look(next).catch((caught: unknown) => {
          if (!stopping.signal.aborted) log.debug({ err: caught, workload: next }, "the workload cannot be looked at");
        });
      }
      await sleep(Math.min(due.length > 1 ? 200 : tickMs, everyMs), stopping.signal).catch(() => undefined);
    }
  })();

  return {
    newest: (workload) => entries.get(workload)?.message,
    news(workload) {
      const entry = entries.get(workload);
      if (!entry?.isNews) return undefined;
      entry.isNews = false;
      entry.toldAtMs = clock.monotonicMs();
      return entry.message;
    },
    async stop() {
      stopping.abort();
      await loop;
    },
  };
}
