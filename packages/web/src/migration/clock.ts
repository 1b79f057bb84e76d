// Both hosts measure by their own clocks. The control plane says how each stood to its own during the move: with that, all times are by one clock. Pure.
import type { Migration, MigrationPhase } from "@aether/contract/gen/aether/v2/migration_pb";
import { msOf } from "../format/time.ts";

export interface OnOneClock {
  /** Of a phase, by the control plane's clock where that is known; by its host's otherwise. 0: it has no time. */
  startOf(phase: Pick<MigrationPhase, "nodeId" | "startedAt">): number;
  /** The worst of the hosts', ms; undefined while the clock of one that measured is not known. */
  readonly uncertaintyMs: number | undefined;
}

/** What it does itself is by its own clock, which is that of all. */
export const controlPlane = "core";

export function onOneClock({ phases, clocks }: Pick<Migration, "phases" | "clocks">): OnOneClock {
  const known = new Map(clocks.map((clock) => [clock.nodeId, clock]));
  const hosts = [...new Set(phases.map(({ nodeId }) => nodeId))]
    .filter((nodeId) => nodeId !== controlPlane)
    .map((nodeId) => known.get(nodeId)?.uncertaintyMs);
  return {
    startOf({ nodeId, startedAt }) {
      const ms = msOf(startedAt);
      return ms === undefined ? 0 : ms + (known.get(nodeId)?.offsetMs ?? 0);
    },
    uncertaintyMs: hosts.every((each) => each !== undefined) && hosts.length > 0 ? Math.max(...hosts) : undefined,
  };
}
