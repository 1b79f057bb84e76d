// Trial checkpoints beside everything else: what this host can really do is found by doing it, at the start and now and then. One that fails is tried again
// soon, so that a node gets well without a restart of its agent; one that goes well is repeated rarely, since kernels and limits change under us.
import { Fault, fault } from "@aether/contract";
import type { CanaryResult } from "@aether/engine";
import { backoffMs, type Logger, type Stoppable, sleep } from "@aether/kit";

export interface TrialsOptions {
  canary(signal: AbortSignal): Promise<CanaryResult>;
  /** Is a workload on its way? Then the trial waits: clients come first. */
  isMoving(): Promise<boolean>;
  /** The first result, and each one that says something else than the last told. */
  onResult(result: CanaryResult): void;
  readonly log: Logger;
  readonly pauses?: Partial<Pauses>;
}

export interface Pauses {
  /** After a failure: exponential between the two. */
  readonly firstMs: number;
  readonly maxMs: number;
  /** After a success. */
  readonly wellMs: number;
  /** While a workload moves. */
  readonly movingMs: number;
}

const defaults: Pauses = { firstMs: 15_000, maxMs: 10 * 60_000, wellMs: 6 * 3_600_000, movingMs: 30_000 };

/** A node that could move workloads is not written off for one bad trial on a busy machine. */
const failuresToBelieve = 2;

/** Begins at once. `stop` ends a trial that runs, and waits for it. */
export function startTrials(options: TrialsOptions): Stoppable {
  const { canary, isMoving, onResult, log } = options;
  const pauses = { ...defaults, ...options.pauses };
  const stopping = new AbortController();
  const { signal } = stopping;

  async function once(): Promise<CanaryResult> {
    try {
      return await canary(signal);
    } catch (caught) {
      signal.throwIfAborted();
      const reason = Fault.from(caught).message;
      log.error({ err: caught }, "canary.failed");
      return { isAvailable: false, criuVersion: "", dumpMs: 0, restoreMs: 0, lazyPages: false, noTracking: reason, reason };
    }
  }

  async function loop(): Promise<void> {
    let told: CanaryResult | undefined;
    let failures = 0;
    for (;;) {
      while (told !== undefined && (await isMoving())) await sleep(pauses.movingMs, signal);
      const result = await once();
      failures = result.isAvailable ? 0 : failures + 1;
      log[result.isAvailable ? "info" : "warn"]({ ...result, failures }, "canary.done");
      const isBelieved = result.isAvailable || !told?.isAvailable || failures >= failuresToBelieve;
      if (isBelieved && isNews(told, result)) {
        told = result;
        onResult(result);
      }
      const wellMs = pauses.wellMs * (0.75 + Math.random() / 2); // nodes that start together do not stay in step
      await sleep(failures === 0 ? wellMs : backoffMs(pauses, failures - 1), signal);
    }
  }

  const running = loop().catch((caught: unknown) => {
    if (!signal.aborted) log.error({ err: caught }, "canary.stopped");
  });
  return {
    async stop() {
      stopping.abort(fault("CANCELLED", "the agent stops"));
      await running;
    },
  };
}

/** Times differ in each trial and are no news. */
function isNews(told: CanaryResult | undefined, result: CanaryResult): boolean {
  const said = ({ dumpMs: _d, restoreMs: _r, ...rest }: CanaryResult) => JSON.stringify(rest);
  return told === undefined || said(told) !== said(result);
}
