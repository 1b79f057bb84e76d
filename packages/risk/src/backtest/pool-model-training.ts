/**
 * Learns the tables of a pool model by counting. A pool is watched from many starting points, as a policy would watch it, so that the chain
 * also knows how little is known at the start. Sparse cells lean on the rest of their row; nothing here is random.
 */
import { type PoolFeatures, type PoolModel, type PoolModelManifest, type PoolState, PoolTracker } from "./pool-model.ts";
import type { Trace } from "./trace.ts";

export interface TrainingSlice {
  readonly trace: Trace;
  readonly fromTick: number;
  /** First tick that is not used. */
  readonly toTick: number;
}

export interface TrainingSettings extends PoolFeatures {
  readonly stepSeconds: number;
  /** Hours between two starting points, and how long each watch lasts. */
  readonly everyHours: number;
  readonly watchHours: number;
  /** Weight, in steps, of the row's mean in a cell. */
  readonly pseudoSteps: number;
}

/** The settings of the shipped model; chosen on windows inside the training period only (docs/decisions/0010-risk-spot-policy.md). */
export const DEFAULT_TRAINING: TrainingSettings = {
  ageHours: [0.17, 0.5, 1.2, 3, 8],
  shareBounds: [0.15, 0.4, 0.65, 0.88],
  memoryHours: 10,
  priorHours: 3,
  priorShare: 0.5,
  firstAgeHours: 4,
  stepSeconds: 600,
  everyHours: 8,
  watchHours: 92,
  pseudoSteps: 10,
};

const table3 = (a: number, b: number, c: number): number[][][] =>
  Array.from({ length: a }, () => Array.from({ length: b }, () => new Array<number>(c).fill(0)));

function bump(table: number[][][], a: number, b: number, c: number): void {
  const row = table[a]?.[b];
  if (row !== undefined) row[c] = (row[c] ?? 0) + 1;
}

/** Counts every slice and returns the model. `describe` goes into the manifest as it is. */
export function trainPoolModel(
  slices: readonly TrainingSlice[],
  settings: TrainingSettings,
  describe: Pick<PoolModelManifest, "command" | "trainedOn">,
  version: string,
): PoolModel {
  const ages = settings.ageHours.length + 1;
  const shares = settings.shareBounds.length + 1;
  const seen = table3(2, ages, shares);
  const flipped = table3(2, ages, shares);
  const stayed = table3(2, ages, 1);
  const aged = table3(2, ages, 1);
  const moved = table3(2, shares, shares);
  let steps = 0;
  for (const slice of slices) {
    const { trace } = slice;
    const stride = Math.max(1, Math.round(settings.stepSeconds / trace.gapSeconds));
    const hours = (stride * trace.gapSeconds) / 3600;
    const jump = Math.max(1, Math.round((settings.everyHours * 3600) / trace.gapSeconds));
    const length = Math.round((settings.watchHours * 3600) / trace.gapSeconds);
    const end = Math.min(slice.toTick, trace.available.length);
    for (let start = slice.fromTick; start < end; start += jump) {
      const tracker = new PoolTracker(settings);
      let before: PoolState | undefined;
      for (let tick = start; tick < Math.min(end, start + length); tick += stride) {
        tracker.observe(trace.available[tick] === 1, hours);
        const after = tracker.state();
        if (before !== undefined) {
          const a = before.isAvailable ? 1 : 0;
          const hasFlipped = before.isAvailable !== after.isAvailable;
          steps++;
          bump(seen, a, before.age, before.share);
          bump(moved, after.isAvailable ? 1 : 0, before.share, after.share);
          if (hasFlipped) bump(flipped, a, before.age, before.share);
          else {
            bump(stayed, a, before.age, 0);
            if (after.age > before.age) bump(aged, a, before.age, 0);
          }
        }
        before = after;
      }
    }
  }
  const sum = (row: readonly number[] | undefined): number => (row ?? []).reduce((total, x) => total + x, 0);
  const flip = seen.map((byAge, a) =>
    byAge.map((row, age) => {
      // A row that was never seen leans on the whole side: better a mean pool than one that is never lost.
      const sideMean = (sum(flipped[a]?.flat()) + 1) / (sum(byAge.flat()) + 2);
      const mean = (sum(flipped[a]?.[age]) + sideMean * settings.pseudoSteps) / (sum(row) + settings.pseudoSteps);
      return row.map((n, share) => round(((flipped[a]?.[age]?.[share] ?? 0) + mean * settings.pseudoSteps) / (n + settings.pseudoSteps)));
    }),
  );
  const bounds = [0, ...settings.ageHours];
  const ageing = stayed.map((byAge, a) =>
    byAge.map((row, age) => {
      const width = (settings.ageHours[age] ?? Number.POSITIVE_INFINITY) - (bounds[age] ?? 0);
      const uniform = Math.min(1, settings.stepSeconds / 3600 / width);
      return round(((aged[a]?.[age]?.[0] ?? 0) + uniform) / (sum(row) + 1));
    }),
  );
  const shareMove = moved.map((bySide) =>
    bySide.map((row, share) => row.map((n, after) => round((n + (after === share ? 1 : 0)) / (sum(row) + 1)))),
  );
  const { stepSeconds, ageHours, shareBounds, memoryHours, priorHours, priorShare, firstAgeHours } = settings;
  const manifest: PoolModelManifest = { ...describe, steps, pseudoSteps: settings.pseudoSteps };
  return {
    version,
    stepSeconds,
    ageHours,
    shareBounds,
    memoryHours,
    priorHours,
    priorShare,
    firstAgeHours,
    flip,
    ageing,
    shareMove,
    manifest,
  };
}

/** Six digits: more would only make the file longer. */
const round = (x: number): number => Math.round(x * 1e6) / 1e6;
