// How long a move of a workload is planned to take: what its newest certificate foretells.
import { z } from "zod";
import type { MoveTimes } from "../migration/wave.ts";

const predicted = z.object({ freezeMs: z.number(), timeToSafeMs: z.number(), transferMs: z.number() });
/** Bytes a second into the store, where nothing was measured. */
const storeBytesPerSecond = 200_000_000;

/** @param column `certificates.predicted`; before there is one, a first guess: 1 s, and its memory at 1 Gbit/s. */
export function timesOf(column: unknown, memoryBytes: number): MoveTimes {
  const known = predicted.safeParse(column);
  const guessMs = (memoryBytes / 125_000_000) * 1000;
  const snapshotMs = 1_000 + (memoryBytes / storeBytesPerSecond) * 1000;
  if (!known.success) return { timeToSafeMs: 1_000 + guessMs, freezeMs: 500 + guessMs, transferMs: guessMs, snapshotMs };
  return { ...known.data, snapshotMs };
}
