// How fast a workload writes its memory, for telemetry: a short look now and then by a process of its own (native/src/memory/dirty.c). Never while
// somebody else tracks that memory: the kernel gives a mapping to one tracker only, and a move comes first.
import { run } from "@aether/kit";
import { z } from "zod";
import type { Host } from "../host.ts";
import { readRecord } from "../record.ts";
import { freezerDir } from "../runtime/cgroup.ts";

const answer = z.object({ bytesPerSecond: z.number().nonnegative() });
const windowMs = 200;
/** A move that never said that it was over does not keep telemetry out for ever. */
const longestHushMs = 900_000;

export interface DirtyRate {
  /** Bytes a second; undefined where it cannot be measured now or on this kernel. Never throws but for the signal. */
  measure(workload: string, signal: AbortSignal): Promise<number | undefined>;
  /** Ends a look that is under way, and keeps others away until `speak`. */
  hush(workload: string): Promise<void>;
  speak(workload: string): void;
}

export function createDirtyRate(host: Host): DirtyRate {
  const looks = new Map<string, { readonly ending: AbortController; readonly ended: Promise<unknown> }>();
  const hushedUntilMs = new Map<string, number>();

  async function look(workload: string, signal: AbortSignal): Promise<number | undefined> {
    const args = ["dirty-rate", "--procs", `${await freezerDir(host, workload)}/cgroup.procs`, "--window-ms", String(windowMs)];
    const { stdout } = await run(host.options.tools.native, args, { deadlineMs: 10_000, signal });
    return answer.parse(JSON.parse(stdout)).bytesPerSecond;
  }

  return {
    async measure(workload, outer) {
      const record = await readRecord(host, workload);
      if (record?.phase !== "running" || record.migrationId !== undefined) return undefined;
      if (looks.has(workload) || performance.now() < (hushedUntilMs.get(workload) ?? 0)) return undefined;
      const ending = new AbortController();
      const looking = look(workload, AbortSignal.any([outer, ending.signal]));
      looks.set(workload, { ending, ended: looking.catch(() => undefined) });
      try {
        return await looking;
      } catch (caught) {
        outer.throwIfAborted();
        host.options.log.debug({ err: caught, workload }, "memory.no_dirty_rate");
        return undefined;
      } finally {
        looks.delete(workload);
      }
    },
    async hush(workload) {
      hushedUntilMs.set(workload, performance.now() + longestHushMs);
      const one = looks.get(workload);
      one?.ending.abort(new Error("a move comes first"));
      await one?.ended;
    },
    speak(workload) {
      hushedUntilMs.delete(workload);
    },
  };
}
