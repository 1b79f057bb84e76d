// Follows a run to its end, also over a restart of the control plane: what is asked again is the run as it is, so nothing is missed.
import { Fault, faults } from "@aether/contract";
import type { RunbookRun, RunbookService } from "@aether/contract/gen/aether/v2/runbook_pb";
import { sleep } from "@aether/kit";
import type { Client } from "@connectrpc/connect";

const firstWaitMs = 500;
const longestWaitMs = 5_000;

/** @param seen called with each state. Throws what waiting cannot mend. Answers the run as it ended, or as it was last seen when the signal aborts. */
export async function followRun(
  client: Pick<Client<typeof RunbookService>, "watchRunbookRun">,
  id: string,
  signal: AbortSignal,
  seen: (run: RunbookRun) => void,
  say: (text: string) => void,
): Promise<RunbookRun | undefined> {
  let last: RunbookRun | undefined;
  let waitMs = firstWaitMs;
  while (!signal.aborted) {
    try {
      for await (const { run } of client.watchRunbookRun({ id }, { signal })) {
        if (run === undefined) continue;
        waitMs = firstWaitMs;
        last = run;
        seen(run);
        if (run.endedAt !== undefined) return run;
      }
    } catch (caught) {
      if (signal.aborted) return last;
      const problem = Fault.from(caught);
      if (last === undefined || (problem.code !== "CANCELLED" && faults[problem.code].retry === "never")) throw caught;
      if (waitMs === firstWaitMs)
        say(`the control plane does not answer (${problem.message}); the run goes on by itself, and is looked for again`);
    }
    await sleep(waitMs, signal).catch(() => undefined);
    waitMs = Math.min(longestWaitMs, waitMs * 2);
  }
  return last;
}
