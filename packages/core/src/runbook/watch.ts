// A run as it is, then again after every change, the last time when it has ended.
import type { RunbookRun } from "@aether/contract/gen/aether/v2/runbook_pb";
import type { Runner } from "./run.ts";

/** Changes come in bursts: a watcher is told at most this often. */
const watchEveryMs = 50;

export async function* watchRun(
  runner: Pick<Runner, "onChange">,
  id: string,
  signal: AbortSignal,
  read: () => Promise<RunbookRun>,
): AsyncIterable<RunbookRun> {
  let changed = Promise.withResolvers<void>();
  const wake = () => changed.resolve();
  const unsubscribe = runner.onChange((each) => {
    if (each === id) wake();
  });
  signal.addEventListener("abort", wake, { once: true });
  try {
    while (!signal.aborted) {
      changed = Promise.withResolvers<void>();
      const run = await read();
      yield run;
      if (run.endedAt !== undefined) return;
      await changed.promise;
      await new Promise((resolve) => setTimeout(resolve, watchEveryMs));
    }
  } finally {
    unsubscribe();
    signal.removeEventListener("abort", wake);
  }
}
