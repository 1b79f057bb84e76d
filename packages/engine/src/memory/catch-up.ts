// Source: the last passes, right before the cut.

import type { Progress } from "../engine.ts";
import { phase } from "../steps/journal.ts";
import type { Tracker } from "./tracker.ts";

/** For memory that the target's tasks will inherit to be written where they find it: some 0.3 s a GiB, and 2.5 where a hypervisor must give the memory first. */
const placingMs = 30_000;
const passesMs = 3000;
/** For what is in the buffers when a pass has been sent. */
const leastPatienceMs = 1000;
const mostPasses = 25;
/** Sent in a few milliseconds by any link that is worth a copy. */
const enoughBytes = 1 << 20;
/** What a collection of garbage takes, about. */
const settleMs = 100;
/** Passes of one size differ by so much. */
const lessBy = 0.8;
/** Of passes that are no less, one that takes so long, ms, needs no other to prove it. */
const longMs = 500;

/**
 * What the passes have sent is on its way for a while (megabytes, in the buffers of both hosts and of the link), and what the freeze sends has to wait behind it. So each of these
 * passes begins when the one before has arrived, for as long as they become smaller, and the freeze when the last one has. That pays at any rate of writes: between two passes
 * the most is to be sent. It ends when the freeze is due.
 * @param arrived resolves when the target has all up to the end of a pass, and has put it where it is needed; or when its patience is over, ms
 * @param settle both hosts collect their garbage, the nearer to the cut the better; what is written meanwhile needs a pass more
 * @param dueMs when the freeze must begin, by performance.now()
 * @param stayedBytes of each pass, where the copy ended because they became no smaller; else infinite
 */
export async function catchUp(
  tracker: Pick<Tracker, "round">,
  arrived: (pass: number, patienceMs: number) => Promise<void>,
  settle: () => Promise<void>,
  dueMs: number,
  stayedBytes: number,
  progress: Progress,
  signal: AbortSignal,
): Promise<void> {
  const patienceUntil = (untilMs: number) => Math.max(0, Math.min(untilMs, dueMs) - performance.now());
  await phase(progress, "copy.catch-up", async (facts) => {
    await arrived(0, patienceUntil(performance.now() + placingMs));
    let untilMs = Math.min(dueMs, performance.now() + passesMs);
    const sizes: number[] = [];
    const shrink = async (mostNoLess: number, untilPassMs = 0) => {
      const from = sizes.length;
      for (let noLess = 0; noLess < mostNoLess && sizes.length < mostPasses; ) {
        const last = await tracker.round(signal).catch(() => undefined); // a tracker that has ended is heard when it is asked for the rest
        if (last === undefined) return;
        await arrived(last.number, patienceUntil(Math.max(untilMs, performance.now() + leastPatienceMs)));
        // Each is a share of the one before: all that follow the first take no longer than twice its time where that share is two thirds or less.
        if (sizes.length === 0) untilMs = Math.max(untilMs, Math.min(dueMs, performance.now() + 2 * last.durationMs));
        noLess = last.sentBytes > Math.min(stayedBytes, ...sizes.slice(from)) * lessBy ? noLess + 1 : 0;
        sizes.push(last.sentBytes);
        if (
          last.sentBytes < enoughBytes ||
          last.durationMs < untilPassMs ||
          (noLess > 0 && last.durationMs > longMs) ||
          performance.now() >= untilMs
        )
          return;
      }
    };
    await shrink(1, settleMs); // what is less is written again meanwhile
    await settle();
    await shrink(2);
    if (sizes.length === 0) return;
    Object.assign(facts, { passes: String(sizes.length), leastBytes: String(Math.min(...sizes)), sentBytes: String(sizes.at(-1) ?? 0) });
  });
}
