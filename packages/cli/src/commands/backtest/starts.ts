/** Where windows start: from a file, or spread evenly over a trace. */
import { readFileSync } from "node:fs";
import type { Market } from "./traces.ts";

/** Ticks that the -mit files lack at their beginning, against the full series for which start files are written. */
const MIT_SHIFT = 3;

export interface StartsFile {
  readonly lengthTicks: number;
  readonly gapSeconds: number;
  readonly starts: readonly number[];
}

/** Parses `{ length_ticks, gap_seconds, starts }`. Throws with what is wrong. */
export function parseStarts(text: string): StartsFile {
  const raw = JSON.parse(text) as { length_ticks?: unknown; gap_seconds?: unknown; starts?: unknown };
  const isTick = (x: unknown): x is number => Number.isInteger(x) && (x as number) >= 0;
  if (!isTick(raw.length_ticks) || !isTick(raw.gap_seconds) || !Array.isArray(raw.starts) || !raw.starts.every(isTick)) {
    throw new Error("a starts file holds { length_ticks, gap_seconds, starts: [tick, ...] }, all whole numbers from 0");
  }
  return { lengthTicks: raw.length_ticks, gapSeconds: raw.gap_seconds, starts: raw.starts };
}

export const readStarts = (path: string): StartsFile => parseStarts(readFileSync(path, "utf8"));

/** Start ticks of a trace's windows, each with its number; windows that do not fit `neededTicks` are left out. */
export function windowsOf(
  market: Market,
  starts: StartsFile | undefined,
  neededTicks: number,
  count: number,
): { window: number; startTick: number }[] {
  const last = market.ticks - neededTicks;
  if (last < 0) return [];
  if (starts !== undefined) {
    if (starts.gapSeconds !== market.gapSeconds)
      throw new Error(`the starts file is for ticks of ${starts.gapSeconds} s, ${market.pair} has ${market.gapSeconds} s`);
    const shift = market.group.endsWith("-mit") ? MIT_SHIFT : 0;
    return starts.starts
      .map((start, window) => ({ window, startTick: start - shift }))
      .filter((w) => w.startTick >= 0 && w.startTick <= last);
  }
  const wanted = Math.max(1, Math.min(count, last + 1));
  return Array.from({ length: wanted }, (_, window) => ({
    window,
    startTick: wanted === 1 ? 0 : Math.floor((window * last) / (wanted - 1)),
  }));
}
