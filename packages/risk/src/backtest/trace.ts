/**
 * Availability traces as the backtester sees them: one value a tick, no dates, no files.
 * Promises: a tick is available only if the wanted number of instances could run for the whole of it; a tick that nobody probed counts as
 * not available, because a policy that is told otherwise would be paid for luck. Reading files is left to the caller: this parses text.
 */

import { pricesAt } from "../prices/price-book.ts";

/** One pool's history on a fixed tick grid. All arrays have the same length. */
export interface Trace {
  /** ZONE_DEVICE, the name used in result tables. */
  readonly pair: string;
  readonly zone: string;
  readonly gapSeconds: number;
  /** 1 where spot exists for the whole tick. */
  readonly available: Uint8Array;
  /** 0 where nobody looked (also 0 in `available`); absent where every tick was probed. */
  readonly probed?: Uint8Array;
  /** USD per hour for the whole job (all of its instances), per tick; absent where the source has no prices. */
  readonly spotUsdPerHour?: Float64Array;
}

export interface Run {
  readonly firstTick: number;
  readonly ticks: number;
  readonly value: number;
}

/** Reads run-length coded CSV (`tick,ticks,utc,value`). Throws RangeError with the line number when the text is not that. */
export function parseRuns(text: string): Run[] {
  const runs: Run[] = [];
  const lines = text.split(/\r?\n/);
  for (let i = 1; i < lines.length; i++) {
    const line = lines[i];
    if (line === undefined || line === "") continue;
    const cells = line.split(",");
    const firstTick = Number(cells[0]);
    const ticks = Number(cells[1]);
    const value = Number(cells[3]);
    if (
      cells.length !== 4 ||
      cells[3] === "" ||
      !Number.isInteger(firstTick) ||
      !Number.isInteger(ticks) ||
      ticks < 1 ||
      firstTick < 0 ||
      !Number.isFinite(value)
    ) {
      throw new RangeError(`line ${i + 1} is not "tick,ticks,utc,value": ${line.slice(0, 80)}`);
    }
    runs.push({ firstTick, ticks, value });
  }
  return runs;
}

/** Spreads runs over a tick axis; ticks that no run covers get `missing`. */
export function expandRuns(runs: readonly Run[], missing: number): Float64Array {
  let length = 0;
  for (const run of runs) length = Math.max(length, run.firstTick + run.ticks);
  const values = new Float64Array(length).fill(missing);
  for (const run of runs) values.fill(run.value, run.firstTick, run.firstTick + run.ticks);
  return values;
}

export interface TraceText {
  readonly pair: string;
  readonly zone: string;
  readonly gapSeconds: number;
  readonly capacityCsv: string;
  readonly priceCsv?: string;
  /** Instances the job needs at once; available means capacity >= this (all or nothing). */
  readonly instances: number;
  /** Multiplies the per-instance price. */
  readonly priceFactor?: number;
}

/** Builds a trace from the text of its files. A price series shorter than the trace is held at its last value. */
export function parseTrace(input: TraceText): Trace {
  const capacity = expandRuns(parseRuns(input.capacityCsv), -1);
  const available = new Uint8Array(capacity.length);
  for (let t = 0; t < capacity.length; t++) available[t] = (capacity[t] ?? -1) >= input.instances ? 1 : 0;
  const isComplete = capacity.every((value) => value >= 0);
  const probed = isComplete ? {} : { probed: Uint8Array.from(capacity, (value) => (value >= 0 ? 1 : 0)) };
  const base = { pair: input.pair, zone: input.zone, gapSeconds: input.gapSeconds, available, ...probed };
  if (input.priceCsv === undefined) return base;
  const gapMs = input.gapSeconds * 1000;
  const steps = parseRuns(input.priceCsv).map(({ firstTick, value }) => ({ atMs: firstTick * gapMs, usdPerHour: value }));
  const [first] = steps;
  if (first === undefined) return base;
  const ticks = Array.from(capacity, (_, t) => t * gapMs);
  const factor = input.priceFactor ?? 1;
  // Before its first price a series has that one.
  return { ...base, spotUsdPerHour: pricesAt(steps, ticks).map((usd) => (Number.isNaN(usd) ? first.usdPerHour : usd) * factor) };
}
