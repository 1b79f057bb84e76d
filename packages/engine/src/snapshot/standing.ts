// What stays with a workload between its snapshots: the tracker of its memory, and where the pages of the last snapshot are stored. As long as both are
// there, the next snapshot reads only what was written since. Nothing of it is on disk: after a restart of this process, a move, a start or a failure the
// next snapshot reads everything, and says why.
import type { Host } from "../host.ts";
import { type Keeping, startKeeping } from "../memory/keep.ts";
import type { WorkloadRecord } from "../record.ts";
import type { StoredRun } from "./pages.ts";

/** The last snapshot, as far as the next one goes by it. */
export interface Since {
  readonly snapshotId: string;
  /** By the name of the pagemap image; ascending by address. */
  readonly pages: ReadonlyMap<string, readonly StoredRun[]>;
}

/** A tracker at work for one snapshot. */
export interface Turn {
  readonly keeping: Keeping;
  /** Undefined: all memory is read, because of `wholeBecause`. */
  readonly since: Since | undefined;
  readonly wholeBecause: string;
  readonly process: string;
  readonly count: number;
}

export interface Standing {
  /** The tracker that stayed, or a new one. It is the caller's until `leave` or `drop`. Throws where the workload cannot be tracked. */
  take(record: WorkloadRecord, signal: AbortSignal): Promise<Turn>;
  /** After a snapshot: the next one goes by it. Without `since`, nothing was stored, and it goes by the same as this one. */
  leave(workload: string, turn: Turn, since?: Since): void;
  /** After a failure: what the tracker has sent and what is stored may differ. */
  drop(workload: string, turn: Turn, why: string): void;
  /** Ends a tracker that stands by: the kernel gives memory to one tracker only, and others come first. Whoever has taken one keeps it. */
  end(workload: string, why: string): void;
  has(workload: string): boolean;
  /** Of one that stands by: how fast its workload writes, bytes a second; undefined where it has ended. */
  dirtyRate(workload: string, signal: AbortSignal): Promise<number | undefined>;
  /** The snapshot that the next one would go by. */
  lastSnapshot(workload: string): string | undefined;
  stop(): void;
}

/** Everything is read again after so many: what a fault of ours might have left out is not missing for ever. */
const wholeEvery = 32;
/** A tracker costs the workload a page fault for each page that it writes for the first time since, and some memory: not for a snapshot that does not come. */
const longestIdleMs = 900_000;

export function createStanding(host: Host): Standing {
  const idle = new Map<string, Turn & { readonly timer: NodeJS.Timeout }>();
  const reasons = new Map<string, string>();

  function end(workload: string, why: string): void {
    const one = idle.get(workload);
    if (one === undefined) return;
    idle.delete(workload);
    clearTimeout(one.timer);
    reasons.set(workload, why);
    one.keeping.close();
  }

  return {
    async take(record, signal) {
      const { name } = record.spec;
      const own = `${record.pid} ${record.pidStartTicks}`;
      const one = idle.get(name);
      const why =
        one === undefined
          ? (reasons.get(name) ?? "it is the first since the agent of this node started, or since the workload came here")
          : (one.keeping.problem() ??
            (one.process !== own
              ? "the workload was started anew"
              : one.count % wholeEvery === 0
                ? `everything is read again after ${wholeEvery} snapshots`
                : undefined));
      if (one !== undefined && why === undefined) {
        idle.delete(name);
        clearTimeout(one.timer);
        return one;
      }
      if (why !== undefined) end(name, why);
      reasons.delete(name);
      const keeping = await startKeeping(host, name, signal);
      return { keeping, since: undefined, wholeBecause: why ?? "", process: own, count: 0 };
    },
    leave(workload, turn, since = turn.since) {
      const { keeping, process, wholeBecause } = turn;
      const timer = setTimeout(() => end(workload, "the snapshot before is too long ago for its tracker to have waited"), longestIdleMs);
      timer.unref();
      const count = since === turn.since ? turn.count : turn.count + 1;
      idle.set(workload, { keeping, process, since, count, wholeBecause: since === undefined ? wholeBecause : "", timer });
    },
    drop(workload, turn, why) {
      reasons.set(workload, why);
      turn.keeping.close();
    },
    end,
    async dirtyRate(workload, signal) {
      return idle
        .get(workload)
        ?.keeping.dirtyRate(signal)
        .catch((caught: unknown) => {
          signal.throwIfAborted();
          host.options.log.debug({ err: caught, workload }, "memory.no_dirty_rate");
          return undefined;
        });
    },
    has: (workload) => idle.has(workload),
    lastSnapshot: (workload) => idle.get(workload)?.since?.snapshotId,
    stop() {
      for (const workload of [...idle.keys()]) end(workload, "");
    },
  };
}
