// From samples to lines. A value that was not measured is a gap, never a zero; a pause between two samples is a gap too. Pure.
import type { Timestamp } from "@bufbuild/protobuf/wkt";
import { msOf } from "../format/time.ts";

interface Sample {
  readonly at?: Timestamp | undefined;
  readonly spanMs: number;
}

export interface Lines {
  readonly times: number[];
  readonly values: (number | null)[][];
}

type Read<Own> = (sample: Own) => number | bigint | undefined;

/** Samples further apart than three spans have a gap between them. */
export function linesOf<Own extends Sample>(samples: readonly Own[], reads: readonly Read<Own>[]): Lines {
  const times: number[] = [];
  const values: (number | null)[][] = reads.map(() => []);
  let lastMs: number | undefined;
  for (const sample of samples) {
    const ms = msOf(sample.at);
    if (ms === undefined) continue;
    if (lastMs !== undefined && ms - lastMs > 3 * Math.max(1000, sample.spanMs)) {
      times.push((lastMs + 1) / 1000);
      for (const line of values) line.push(null);
    }
    times.push(ms / 1000);
    for (const [i, read] of reads.entries()) {
      const value = read(sample);
      values[i]?.push(value === undefined ? null : Number(value));
    }
    lastMs = ms;
  }
  return { times, values };
}
