// Memory for a snapshot: copied while the workload runs, as before a move, but to a keeper on this host. Inside the stop are the pages that were written
// since the last pass and what only criu can carry; afterwards the keeper puts both together, into images as criu alone would have written them
// (native/src/memory/keep.c). Nothing of the images tells how they came to be, so a restore need not know.
import { withDeadline } from "@aether/kit";
import { z } from "zod";
import type { HeldPages } from "../checkpoint/criu.ts";
import type { CopyReport, Progress } from "../engine.ts";
import type { Host } from "../host.ts";
import { pidsOf } from "../runtime/cgroup.ts";
import { residentBytes, statOf } from "../runtime/process.ts";
import { memoryClasses } from "./classes.ts";
import { copyMemory } from "./copy-memory.ts";
import { startHelper } from "./helper.ts";
import type { Costs } from "./rounds.ts";
import { trackInto } from "./tracker.ts";

export interface KeptMemory {
  readonly report: CopyReport;
  /** Which pages criu shall leave out. */
  readonly held: HeldPages;
  /** One more pass, right before the stop. */
  fresh(signal: AbortSignal): Promise<void>;
  /** The workload is stopped: from the answer on criu may dump. */
  frozen(): Promise<{ readonly lastPages: number }>;
  /** After the dump: everything was read, and the workload may go on. */
  sealed(): Promise<void>;
  /** The workload runs again: it is tracked no longer. Safe to repeat. */
  thawed(): Promise<void>;
  /** Processor time of the tracker and the keeper so far. */
  cpuSeconds(): Promise<number>;
  /** Puts the copies and criu's images together. Throws TRANSFER_FAILED where they do not fit: nothing of them is of use then. */
  merge(signal: AbortSignal): Promise<void>;
  close(): void;
}

/** From memory to memory on one host; the first pass measures it. */
const assumedBytesPerSecond = 700 * 2 ** 20;
const mergeDeadlineMs = 300_000;
/** USER_HZ of every Linux that Node runs on. */
const ticksPerSecond = 100;
const secondsOf = async (pid: number) => ((await statOf(pid))?.cpuTicks ?? 0) / ticksPerSecond;
const mergedLine = z.object({ pages: z.number() });

/** Copies until another pass would not pay. Throws where it cannot be done; the workload is the same afterwards. */
export async function keepAhead(
  host: Host,
  workload: string,
  snapshotId: string,
  images: string,
  costs: Costs,
  progress: Progress,
  signal: AbortSignal,
): Promise<KeptMemory> {
  const keeper = startHelper(host, ["memory-keep", "--images", images, "--data-fd", "3"]);
  try {
    await withDeadline("the keeper of memory to be ready", 10_000, () => keeper.next("ready"), signal);
    const tracker = await trackInto(host, `snapshot-${snapshotId}`, workload, keeper.data, () => undefined, signal);
    const close = () => {
      tracker.close();
      keeper.kill();
    };
    try {
      const pids = await pidsOf(host, workload);
      const plan = {
        holds: { memoryBytes: await residentBytes(pids), classes: await memoryClasses(pids) },
        costs,
        assumed: { linkBytesPerSecond: assumedBytesPerSecond, dirtyBytesPerSecond: 0, basis: "nothing was copied yet" },
        dueAtMs: undefined,
      };
      const report = await copyMemory(tracker, plan, progress, signal);
      let trackerSeconds: number | undefined;
      return {
        report,
        held: tracker.held,
        fresh: async (passSignal) => void (await tracker.round(passSignal)),
        frozen: tracker.frozen,
        sealed: async () => void (await tracker.sealed()),
        async thawed() {
          trackerSeconds ??= await secondsOf(tracker.pid);
          tracker.close();
        },
        cpuSeconds: async () => (trackerSeconds ?? (await secondsOf(tracker.pid))) + (await secondsOf(keeper.pid)),
        async merge(mergeSignal) {
          await withDeadline("the copies to be whole", 60_000, () => keeper.next("sealed"), mergeSignal);
          keeper.send("merge");
          mergedLine.parse(await withDeadline("the images to be put together", mergeDeadlineMs, () => keeper.next("merged"), mergeSignal));
        },
        close,
      };
    } catch (caught) {
      close();
      throw caught;
    }
  } catch (caught) {
    keeper.kill();
    throw caught;
  }
}
