/**
 * Trains the hazard model on rows before a date, with an embargo so that no label reaches past it. Deterministic: the seed only picks which rows
 * stay when there are more than `mostRows`.
 */
import { FEATURES, readFeatures } from "../assess/features.ts";
import { type HazardManifest, type HazardModel, SEGMENT_ENDS_SECONDS } from "../assess/hazard-model.ts";
import { fitHazard } from "./fit.ts";
import type { Row } from "./rows.ts";

export interface TrainSettings {
  readonly version: string;
  readonly command: string;
  readonly seed: number;
  /** ISO date; rows whose labels could reach past it are left out. */
  readonly before: string;
  readonly embargoHours: number;
  readonly ridge: number;
  readonly mostRows: number;
}

/** Rows that may be trained on: the whole label horizon and the embargo end before the date. */
export function rowsBefore(rows: readonly Row[], before: string, embargoHours: number): Row[] {
  const limit = Date.parse(before) / 1000 - embargoHours * 3600;
  return rows.filter((row) => row.atSeconds < limit);
}

export function rowsFrom(rows: readonly Row[], from: string): Row[] {
  const limit = Date.parse(from) / 1000;
  return rows.filter((row) => row.atSeconds >= limit);
}

/** Small, fast, well mixed, and the same everywhere (mulberry32). */
export function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Whether the loss falls in segment k: 1 yes, 0 no, undefined when it was over before or cannot be known. */
export function segmentLabel(row: Row, k: number): 0 | 1 | undefined {
  const from = k === 0 ? 0 : (SEGMENT_ENDS_SECONDS[k - 1] as number);
  const to = SEGMENT_ENDS_SECONDS[k] as number;
  if (row.lossSeconds <= from) return undefined;
  if (row.lossSeconds <= to) return 1;
  return row.censoredSeconds >= to ? 0 : undefined;
}

export function trainHazardModel(allRows: readonly Row[], settings: TrainSettings): HazardModel {
  const eligible = rowsBefore(allRows, settings.before, settings.embargoHours);
  const random = randomFrom(settings.seed);
  const keep = Math.min(1, settings.mostRows / eligible.length);
  const rows = eligible.filter(() => random() < keep);
  const values = rows.map((row) => readFeatures(row.readings));
  const { mean, spread } = standards(values);
  const standardised = values.map((row) =>
    row.map((value, j) => (Number.isNaN(value) ? 0 : Math.min(4, Math.max(-4, (value - (mean[j] as number)) / (spread[j] as number))))),
  );
  const signs = FEATURES.map((feature) => feature.sign);
  const intercept: number[] = [];
  const coefficient: number[][] = [];
  const residual: number[] = [];
  const notes: string[] = [];
  for (let k = 0; k < SEGMENT_ENDS_SECONDS.length; k++) {
    const labels = rows.map((row) => segmentLabel(row, k));
    const used = rows.map((_, i) => i).filter((i) => labels[i] !== undefined);
    const x = used.map((i) => standardised[i] as Float64Array);
    const y = Uint8Array.from(used, (i) => labels[i] ?? 0);
    const fit = fitHazard({ x, y, ridge: settings.ridge, signs });
    intercept.push(digits(fit.intercept));
    coefficient.push(fit.coefficient.map(digits));
    residual.push(
      digits(
        poolSpread(
          used.map((i) => rows[i] as Row),
          x,
          y,
          fit,
        ),
      ),
    );
    for (const j of fit.held)
      notes.push(`segment ${k}: ${FEATURES[j]?.name} held at its least value, the rows would give it the other sign`);
  }
  const groups = [...new Set(rows.map((row) => row.group))].map((group) => {
    const own = rows.filter((row) => row.group === group);
    return { group, rows: own.length, losses: own.filter((row) => row.lossSeconds <= 600).length };
  });
  const { version, command, seed, embargoHours, ridge } = settings;
  const manifest: HazardManifest = { command, seed, trainedBefore: settings.before, embargoHours, groups, ridge, notes };
  return {
    version,
    features: FEATURES.map((feature) => feature.name),
    mean: mean.map(digits),
    spread: spread.map(digits),
    intercept,
    coefficient,
    residual,
    manifest,
  };
}

/** Eight significant digits are kept in the file, so that it reads the same on every machine. */
const digits = (x: number): number => Number(x.toPrecision(8));

function standards(values: readonly Float64Array[]): { mean: number[]; spread: number[] } {
  const mean: number[] = [];
  const spread: number[] = [];
  for (let j = 0; j < FEATURES.length; j++) {
    const known = values.map((row) => row[j] as number).filter((value) => !Number.isNaN(value));
    const m = known.reduce((sum, value) => sum + value, 0) / Math.max(1, known.length);
    const v = known.reduce((sum, value) => sum + (value - m) ** 2, 0) / Math.max(1, known.length);
    mean.push(digits(m));
    spread.push(digits(Math.sqrt(v) || 1));
  }
  return { mean, spread };
}

/**
 * Spread of pools around the model in log-hazard: the variance of log(observed/expected) over pools, less what counting alone would give
 * (one over the count). Labels of neighbouring rows overlap, so counts are thinned to one row in six.
 */
function poolSpread(
  rows: readonly Row[],
  x: readonly Float64Array[],
  y: Uint8Array,
  fit: { intercept: number; coefficient: readonly number[] },
): number {
  const pools = new Map<string, { observed: number; expected: number }>();
  for (const [i, row] of rows.entries()) {
    const key = `${row.group} ${row.pair}`;
    const pool = pools.get(key) ?? { observed: 0, expected: 0 };
    const eta = fit.coefficient.reduce((sum, b, j) => sum + b * (x[i]?.[j] ?? 0), fit.intercept);
    pool.observed += (y[i] ?? 0) / 6;
    pool.expected += -Math.expm1(-Math.exp(Math.min(eta, 5))) / 6;
    pools.set(key, pool);
  }
  const usable = [...pools.values()].filter((pool) => pool.expected >= 3);
  if (usable.length < 3) return 0.5;
  const logs = usable.map((pool) => Math.log((pool.observed + 0.5) / (pool.expected + 0.5)));
  const mean = logs.reduce((a, b) => a + b, 0) / logs.length;
  const variance = logs.reduce((sum, v) => sum + (v - mean) ** 2, 0) / (logs.length - 1);
  const counting = usable.reduce((sum, pool) => sum + 1 / (pool.expected + 0.5), 0) / usable.length;
  return Math.sqrt(Math.max(0.04, variance - counting));
}
