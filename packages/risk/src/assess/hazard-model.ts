/**
 * The hazard model: how many interruptions to expect within each horizon. The day ahead is cut into segments; each segment has a log-linear
 * hazard, and the cumulative hazard H of a horizon is the sum over its segments, so the probability 1 - exp(-H) can only grow with the horizon.
 * Missing features add nothing to the middle and widen the range.
 */
import { FEATURES } from "./features.ts";

/** Horizons that are answered, in seconds: 2 min, 10 min, 1 h, 6 h, 24 h. */
export const HORIZONS_SECONDS = [120, 600, 3600, 21_600, 86_400] as const;
/** Ends of the fitted segments, in seconds. The first segment holds the two shortest horizons. */
export const SEGMENT_ENDS_SECONDS = [600, 3600, 21_600, 86_400] as const;

export interface HazardModel {
  readonly version: string;
  readonly features: readonly string[];
  /** Mean and spread of each feature over the training rows that had it. */
  readonly mean: readonly number[];
  readonly spread: readonly number[];
  /** Log of the expected interruptions in each segment, for a pool with mean features. */
  readonly intercept: readonly number[];
  /** [segment][feature], per spread. */
  readonly coefficient: readonly (readonly number[])[];
  /** Standard deviation of the log-hazard that the training could not explain between groups, per segment. */
  readonly residual: readonly number[];
  readonly manifest: HazardManifest;
}

export interface HazardManifest {
  readonly command: string;
  readonly seed: number;
  readonly trainedBefore: string;
  readonly embargoHours: number;
  readonly groups: readonly { readonly group: string; readonly rows: number; readonly losses: number }[];
  readonly ridge: number;
  readonly notes: readonly string[];
}

/** Throws RangeError unless the model's tables fit the features of this code. */
export function checkHazardModel(model: HazardModel): HazardModel {
  const names = FEATURES.map((feature) => feature.name);
  if (model.features.join() !== names.join())
    throw new RangeError(`model ${model.version} was trained on other features: ${model.features.join(", ")}`);
  const segments = SEGMENT_ENDS_SECONDS.length;
  const isWhole = model.coefficient.length === segments && model.intercept.length === segments && model.residual.length === segments;
  if (!isWhole || model.coefficient.some((row) => row.length !== names.length))
    throw new RangeError(`model ${model.version} has tables of the wrong size`);
  return model;
}

export interface SegmentScores {
  /** Log-hazard of each segment. */
  readonly log: Float64Array;
  /** [segment][feature], in log-hazard. */
  readonly parts: readonly Float64Array[];
  /** Variance of the log-hazard of each segment: unexplained, and from what is missing. */
  readonly variance: Float64Array;
}

/** Scores every segment. `values` are in the order of FEATURES, NaN for missing. */
export function scoreSegments(model: HazardModel, values: Float64Array): SegmentScores {
  const segments = SEGMENT_ENDS_SECONDS.length;
  const log = new Float64Array(segments);
  const variance = new Float64Array(segments);
  const parts: Float64Array[] = [];
  for (let k = 0; k < segments; k++) {
    const part = new Float64Array(FEATURES.length);
    let sum = model.intercept[k] as number;
    let spread = (model.residual[k] as number) ** 2;
    const row = model.coefficient[k] as readonly number[];
    for (let j = 0; j < part.length; j++) {
      const value = values[j] as number;
      const weight = row[j] as number;
      if (Number.isNaN(value)) spread += weight * weight;
      else {
        // Beyond four spreads nothing was seen in training: do not extrapolate.
        const z = Math.min(4, Math.max(-4, (value - (model.mean[j] as number)) / (model.spread[j] as number)));
        part[j] = weight * z;
        sum += weight * z;
      }
    }
    log[k] = sum;
    variance[k] = spread;
    parts.push(part);
  }
  return { log, parts, variance };
}

/** How much of each segment lies within a horizon, by constant hazard inside a segment. */
export function segmentShares(horizonSeconds: number): number[] {
  let from = 0;
  return SEGMENT_ENDS_SECONDS.map((end) => {
    const share = Math.min(1, Math.max(0, (horizonSeconds - from) / (end - from)));
    from = end;
    return share;
  });
}
