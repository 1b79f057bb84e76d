// Memory that was copied ahead, in a line a pass.
import { CopyEnd, type CopyRound, type MemoryCopy, type MoveForecast } from "@aether/contract/gen/aether/v2/memory_pb";
import { bytes, duration, word } from "./units.ts";

const rate = (bytesPerSecond: number) => `${bytes(Math.round(bytesPerSecond))}/s`;

/** "freeze about 180 ms (8.5 MiB/s written, link 96.0 MiB/s; measured over pass 2)". */
export function describeForecast(forecast: MoveForecast): string {
  const { freezeMs, dirtyBytesPerSecond, linkBytesPerSecond, basis } = forecast;
  return `freeze about ${duration(freezeMs)} (${rate(dirtyBytesPerSecond)} written, link ${rate(linkBytesPerSecond)}; ${basis})`;
}

export function describePass(round: CopyRound): string {
  const expected = round.forecast === undefined ? "" : `; ${describeForecast(round.forecast)}`;
  return `pass ${round.number}: ${bytes(round.sentBytes)} in ${duration(round.durationMs)}${expected}`;
}

/** For a receipt: what was there before the freeze, what had to travel in it, and why copying stopped. */
export function describeCopy(memory: MemoryCopy): string {
  if (memory.end === CopyEnd.FAILED || memory.end === CopyEnd.DEADLINE) return `not ahead of the freeze: ${memory.endDetail}`;
  const sent = memory.rounds.reduce((sum, round) => sum + round.sentBytes, 0n);
  return (
    `${memory.rounds.length} passes, ${bytes(sent)}; ${word(CopyEnd, memory.end)}: ${memory.endDetail}. In the freeze: ` +
    `${memory.keptPages} pages were there, of which ${memory.lastPages} came last; ${memory.imagePages} came with the images. ` +
    `After it: ${memory.faults} were waited for, ${duration(memory.worstFaultMs)} at most`
  );
}
