// Gives back the memory that loading and moves have left behind. The collector by itself waits for more garbage, which an agent at rest does not make:
// 3 MB stay for hours. One thorough collection takes some 50 ms, so it happens only when nothing moves and when there is something to gain.
import { getHeapStatistics, setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { type Logger, type Stoppable, sleep } from "@aether/kit";

export interface TidyOptions {
  /** A pause would be felt. */
  readonly isBusy: () => Promise<boolean>;
  readonly log: Logger;
  readonly everyMs?: number;
  readonly heapBytes?: () => number;
  readonly collect?: () => void;
}

const worthBytes = 2 * 1024 * 1024;

export function startTidy({ isBusy, log, everyMs = 30_000, heapBytes = heapTotal, collect = collectAll }: TidyOptions): Stoppable {
  const stopping = new AbortController();
  /** What was left after the last time. */
  let floorBytes = 0;
  const running = (async () => {
    for (;;) {
      await sleep(everyMs, stopping.signal).catch(() => undefined);
      if (stopping.signal.aborted) return;
      const beforeBytes = heapBytes();
      if (beforeBytes - floorBytes < worthBytes || (await isBusy().catch(() => true))) continue;
      const startedMs = performance.now();
      collect();
      floorBytes = heapBytes();
      log.debug({ beforeBytes, afterBytes: floorBytes, tookMs: performance.now() - startedMs }, "memory.tidied");
    }
  })();
  return {
    async stop() {
      stopping.abort();
      await running;
    },
  };
}

const heapTotal = (): number => getHeapStatistics().total_heap_size;

let gc: NodeJS.GCFunction | undefined;

function collectAll(): void {
  if (gc === undefined) {
    setFlagsFromString("--expose-gc");
    gc = runInNewContext("gc") as NodeJS.GCFunction;
  }
  gc({ type: "major", execution: "sync", flavor: "last-resort" });
}
