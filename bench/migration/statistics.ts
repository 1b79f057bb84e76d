// What the page and the summary say of samples in the same words. Percentiles by nearest rank: of fewer than a hundred the 99th is the largest.
import type { Sample } from "./cells.ts";

/** Nearest rank; NaN of nothing. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? Number.NaN;
}

/** Never "-0", which is what a wait shorter than its freeze by rounding would be. */
export const whole = (value: number) => (Number.isNaN(value) ? "-" : (Math.round(value) + 0).toFixed(0));
export const pair = (values: readonly number[]) =>
  values.length === 0 ? "-" : `${whole(percentile(values, 0.5))} / ${whole(percentile(values, 0.99))}`;
export const triple = (values: readonly number[]) => (values.length === 0 ? "-" : `${pair(values)} / ${whole(Math.max(...values))}`);

export const good = (samples: readonly Sample[]) => samples.filter((sample) => sample.error === "");
/** A client that was reset says nothing of a gap; what the method itself took is known all the same. */
export const told = (samples: readonly Sample[]) => (good(samples).length > 0 ? good(samples) : samples);
export const column = (samples: readonly Sample[], name: keyof Sample) =>
  samples.map((sample) => (sample[name] === "" ? Number.NaN : Number(sample[name]))).filter(Number.isFinite);
/** "3 in 2 of 15 moves" */
export function stalledMoves(samples: readonly Sample[], name: "over_50_ms_before" | "over_50_ms_after"): string {
  const counts = column(samples, name);
  const sum = counts.reduce((a, b) => a + b, 0);
  return sum === 0 ? `none in ${counts.length} moves` : `${sum} in ${counts.filter((count) => count > 0).length} of ${counts.length} moves`;
}
