// Follows the stream of events across restarts of the control plane: it resumes after the last event that was seen, so nothing is lost and nothing
// comes twice; where the control plane cannot tell what was in between, that is said.
import { Fault, faults } from "@aether/contract";
import type { Event } from "@aether/contract/gen/aether/v2/common_pb";
import type { EventService } from "@aether/contract/gen/aether/v2/signal_pb";
import { sleep } from "@aether/kit";
import type { Client } from "@connectrpc/connect";

export interface FollowOutput {
  event(event: Event): void;
  /** A word to the person, not part of the result. */
  say(text: string): void;
}

const firstWaitMs = 500;
const longestWaitMs = 5_000;

/** Until the signal aborts. Throws what waiting cannot mend (a credential that is refused), also a first connection that fails. */
export async function followEvents(
  client: Pick<Client<typeof EventService>, "watchEvents" | "listEvents">,
  { after, subject }: { readonly after: bigint; readonly subject: string },
  signal: AbortSignal,
  output: FollowOutput,
): Promise<void> {
  // The place from which it begins is fixed now: what comes while it connects again is not missed.
  const newest = async () =>
    (await client.listEvents({ page: { pageSize: 1 }, newestFirst: true }, { signal, timeoutMs: 15_000 })).events[0]?.sequence ?? 0n;
  let last = after;
  let hasBegun = false;
  let waitMs = firstWaitMs;
  while (!signal.aborted) {
    try {
      if (last === 0n) last = await newest();
      hasBegun = true;
      for await (const { event } of client.watchEvents({ after: last, subject }, { signal })) {
        waitMs = firstWaitMs;
        if (event === undefined) continue;
        last = event.sequence;
        output.event(event);
      }
    } catch (caught) {
      if (signal.aborted) return; // Ctrl-C is how following ends
      const problem = Fault.from(caught);
      if (problem.code === "EVENTS_GONE") {
        output.say(`something is missing here: ${problem.message}; going on from the newest event`);
        last = 0n;
        continue;
      }
      if (!hasBegun || !mayPass(problem)) throw caught;
      if (waitMs === firstWaitMs) output.say(`${problem.message}; trying again`);
    }
    await sleep(waitMs, signal).catch(() => undefined);
    waitMs = Math.min(longestWaitMs, waitMs * 2);
  }
}

const mayPass = ({ code }: Fault): boolean => code === "CANCELLED" || faults[code].retry !== "never";
