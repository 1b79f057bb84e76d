// Memory for snapshots: copied while the workload runs, as before a move, but to a keeper on this host. Inside the stop are the pages that were written
// since the last pass and what only criu can carry; afterwards the keeper puts both together, into images as criu alone would have written them
// (native/src/memory/keep.c). Both stay: the next snapshot copies only what was written since, and its pages images have holes where nothing was.
import { withDeadline } from "@aether/kit";
import { z } from "zod";
import type { HeldPages } from "../checkpoint/criu.ts";
import type { CopyReport, Progress } from "../engine.ts";
import type { Host } from "../host.ts";
import { pidsOf } from "../runtime/cgroup.ts";
import { residentBytes, statOf } from "../runtime/process.ts";
import { throughAgent } from "./carrier.ts";
import { memoryClasses } from "./classes.ts";
import { copyMemory } from "./copy-memory.ts";
import { startHelper } from "./helper.ts";
import { type Costs, pageBytes } from "./rounds.ts";
import { trackInto } from "./tracker.ts";

/** A tracker and a keeper of one workload, for one snapshot after another. After a failure in any of its calls it is of no more use. */
export interface Keeping {
  /** Copies until another pass would not pay: the first time everything, then what was written since `merge`. The workload is the same afterwards. */
  ahead(costs: Costs, progress: Progress, signal: AbortSignal): Promise<KeptMemory>;
  /** How fast the workload writes its memory, bytes a second, from a look of 0.2 s between two snapshots. */
  dirtyRate(signal: AbortSignal): Promise<number>;
  /** Why it has ended; undefined while all is well. */
  problem(): string | undefined;
  /** The workload is tracked no longer. */
  close(): void;
}

/** One snapshot's memory, in the order of the calls. */
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
  /** Puts the copies and criu's images together. Throws TRANSFER_FAILED where they do not fit: nothing of them is of use then. */
  merge(images: string, signal: AbortSignal): Promise<void>;
  /** Read from the workload's memory by the tracker. */
  readBytes(): number;
  /** Processor time of the tracker and the keeper for this snapshot so far. */
  cpuSeconds(): Promise<number>;
}

/** From memory to memory on one host; the first pass measures it. */
const assumedBytesPerSecond = 700 * 2 ** 20;
const mergeDeadlineMs = 300_000;
/** USER_HZ of every Linux that Node runs on. */
const ticksPerSecond = 100;
const secondsOf = async (pid: number) => ((await statOf(pid))?.cpuTicks ?? 0) / ticksPerSecond;
const mergedLine = z.object({ pages: z.number() });

/** Throws where the workload's memory cannot be tracked. */
export async function startKeeping(host: Host, workload: string, signal: AbortSignal): Promise<Keeping> {
  const keeper = startHelper(host, ["memory-keep", "--data-fd", "3"]);
  const tracker = await (async () => {
    await withDeadline("the keeper of memory to be ready", 10_000, () => keeper.next("ready"), signal);
    const carrier = throughAgent(keeper.data, "plain");
    return trackInto(host, `standing-${workload}`, workload, carrier, signal, { isStanding: true, isSharing: true });
  })().catch((caught: unknown) => {
    keeper.kill();
    throw caught;
  });
  keeper.letGo();
  const cpuSeconds = async () => (await secondsOf(tracker.pid)) + (await secondsOf(keeper.pid));

  return {
    async ahead(costs, progress, aheadSignal) {
      const pids = await pidsOf(host, workload);
      const cpuBefore = await cpuSeconds();
      let readPages = 0;
      const plan = {
        holds: { memoryBytes: await residentBytes(pids), classes: await memoryClasses(pids) },
        costs,
        assumed: { linkBytesPerSecond: assumedBytesPerSecond, dirtyBytesPerSecond: 0, basis: "nothing was copied yet" },
        dueAtMs: undefined,
      };
      const round = async (...args: Parameters<typeof tracker.round>) => {
        const pass = await tracker.round(...args);
        readPages += pass.writtenPages + (pass.comparedPages ?? 0);
        return pass;
      };
      return {
        report: await copyMemory({ ...tracker, round }, plan, progress, aheadSignal),
        held: tracker.held,
        fresh: async (passSignal) => void (await round(passSignal)),
        frozen: tracker.frozen,
        async sealed() {
          const { lastPages, comparedPages } = await tracker.sealed();
          readPages += lastPages + comparedPages;
        },
        async merge(images, mergeSignal) {
          await withDeadline("the copies to be whole", 60_000, () => keeper.next("sealed"), mergeSignal);
          keeper.send(`merge ${images}`);
          mergedLine.parse(await withDeadline("the images to be put together", mergeDeadlineMs, () => keeper.next("merged"), mergeSignal));
        },
        readBytes: () => readPages * pageBytes,
        cpuSeconds: async () => (await cpuSeconds()) - cpuBefore,
      };
    },
    dirtyRate: tracker.look,
    problem: () => tracker.problem() ?? keeper.problem(),
    close() {
      tracker.close();
      keeper.kill();
    },
  };
}
