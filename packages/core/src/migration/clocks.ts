// How the clocks of both hosts stood to ours during a move. A host's phase begins after we sent its command and ends before we had its answer, whatever
// the network did: each exchange bounds the offset from both sides (Cristian 1989), and all of them together bound it well, because the quickest way
// down and the quickest way up need not belong to the same command. Pure.
import { type HostClock, HostClockSchema } from "@aether/contract/gen/aether/v2/clock_pb";
import { create } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import type { CommandFact } from "./state.ts";

/** Times are read to the whole millisecond. */
const readingMs = 1;

/** One of each host that has answered a command with phases; the offset is the middle of what is possible. */
export function hostClocks(commands: readonly CommandFact[], nodeOf: (command: CommandFact) => string): HostClock[] {
  const bounds = new Map<string, { lowMs: number; highMs: number; exchanges: number }>();
  for (const command of commands) {
    const phases = (command.result?.phases ?? []).flatMap(({ startedAt, durationMs }) =>
      startedAt === undefined ? [] : [{ fromMs: timestampMs(startedAt), toMs: timestampMs(startedAt) + durationMs }],
    );
    if (phases.length === 0 || command.finishedAtMs === undefined) continue;
    const nodeId = nodeOf(command);
    const bound = bounds.get(nodeId) ?? { lowMs: Number.NEGATIVE_INFINITY, highMs: Number.POSITIVE_INFINITY, exchanges: 0 };
    bounds.set(nodeId, {
      lowMs: Math.max(bound.lowMs, command.intendedAtMs - Math.min(...phases.map(({ fromMs }) => fromMs))),
      highMs: Math.min(bound.highMs, command.finishedAtMs - Math.max(...phases.map(({ toMs }) => toMs))),
      exchanges: bound.exchanges + 1,
    });
  }
  // A clock that was set during the move leaves no offset that fits all: then the bounds cross, and the width says so.
  return [...bounds].map(([nodeId, { lowMs, highMs, exchanges }]) =>
    create(HostClockSchema, { nodeId, offsetMs: (lowMs + highMs) / 2, uncertaintyMs: Math.abs(highMs - lowMs) / 2 + readingMs, exchanges }),
  );
}
