// Memory that was copied ahead, in a line a pass.
import { CopyEnd, type CopyRound, type MemoryCopy, type MoveForecast } from "@aether/contract/gen/aether/v2/memory_pb";
import { bytes, duration, word } from "./units.ts";

const rate = (bytesPerSecond: number) => `${bytes(Math.round(bytesPerSecond))}/s`;

/** "freeze about 180 ms (8.5 MiB/s written, link 96.0 MiB/s; measured over pass 2)". */
export function describeForecast(forecast: MoveForecast): string {
  const { freezeMs, dirtyBytesPerSecond, linkBytesPerSecond, basis } = forecast;
  return `freeze about ${duration(freezeMs)} (${rate(dirtyBytesPerSecond)} written, link ${rate(linkBytesPerSecond)}; ${basis})`;
}

/** Which kinds of memory there are and how each travels; empty where that was not looked at. */
export function describeClasses(forecast: MoveForecast): string[] {
  const { classes } = forecast;
  if (classes === undefined) return [];
  return [
    `${bytes(classes.privateBytes)} private`,
    ...(classes.sharedBytes > 0n ? [`${bytes(classes.sharedBytes)} shared`] : []),
    ...classes.carried.map(
      (one) => `${bytes(one.bytes)} of ${one.kind.replaceAll("_", " ")}, carried inside the freeze (about ${duration(one.freezeMs)} of it)`,
    ),
  ];
}

/** What was foretold before the move against what was measured: "about 180 ms foretold, 193 ms measured (1.07 times)". */
export function describePredicted(forecast: MoveForecast, measuredMs: number): string {
  const ratio = forecast.freezeMs > 0 && measuredMs > 0 ? ` (${(measuredMs / forecast.freezeMs).toFixed(2)} times)` : "";
  return `about ${duration(forecast.freezeMs)} foretold, ${duration(measuredMs)} measured${ratio}; ${forecast.basis}`;
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
    `${memory.rounds.length} passes, ${bytes(sent)}${memory.transport === "zstd" ? ` (${bytes(memory.wireBytes)} compressed)` : ""}; ${word(CopyEnd, memory.end)}: ${memory.endDetail}. ` +
    `${memory.throttledToPercent > 0 ? `Its CPU was held down to ${memory.throttledToPercent} % of one processor. ` : ""}In the freeze: ` +
    `${memory.keptPages} pages were there, of which ${memory.lastPages} came last${memory.sharedPages > 0n ? ` and ${memory.sharedPages} are shared` : ""}; ${memory.imagePages} came with the images. ` +
    `After it: ${memory.faults} were waited for, ${duration(memory.worstFaultMs)} at most`
  );
}
