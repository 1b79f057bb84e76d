/**
 * The answer to "will this be interrupted": a probability for each horizon with its range, and what made it so. Contributions are exact: with
 * the starting probability they add up to the answer (Aumann-Shapley values, in closed form because the log-hazard is a sum). No clock: ages
 * and remaining times are given by the caller.
 */
import { FEATURES, type PoolReadings, readFeatures } from "./features.ts";
import { type HazardModel, HORIZONS_SECONDS, scoreSegments, segmentShares } from "./hazard-model.ts";
import { DEFAULT_RISK_PRIORS, type Prior, type RiskPriors } from "./priors.ts";

/** Evidence about one node or pool; everything may be left out. */
export interface Evidence {
  readonly readings: PoolReadings;
  /** An interruption notice: seconds until the instance is gone (0 or less: now). */
  readonly notice?: { readonly secondsLeft: number };
  /** A rebalance recommendation, and how old it is. */
  readonly rebalance?: { readonly ageSeconds: number };
  /** Spot Advisor band, 0 (<5 %) to 4 (>20 %). */
  readonly advisorBand?: number;
  /** Spot placement score, 1 to 10. */
  readonly placementScore?: number;
  /** An open or recent provider incident in the region, and how old its last word is. */
  readonly incident?: { readonly ageSeconds: number };
}

export interface HorizonAnswer {
  readonly horizonSeconds: number;
  readonly probability: number;
  /** The range that holds the truth in 8 of 10 cases, as far as the training could tell. */
  readonly low: number;
  readonly high: number;
}

export interface Contribution {
  readonly name: string;
  readonly words: string;
  /** Probability points added (or taken) within the explained horizon. */
  readonly points: number;
  readonly source: "learnt" | "prior" | "certain";
}

export interface Assessment {
  readonly modelVersion: string;
  readonly horizons: readonly HorizonAnswer[];
  readonly explainedHorizonSeconds: number;
  /** Probability within the explained horizon for a pool of which nothing is known. */
  readonly startingProbability: number;
  /** Largest first; with the starting probability they add up to the probability of the explained horizon. */
  readonly contributions: readonly Contribution[];
  /** Inputs that were not there and therefore widened the range. */
  readonly missing: readonly string[];
}

export interface AssessSettings {
  readonly priors: RiskPriors;
  /** The horizon that contributions explain. */
  readonly explainedHorizonSeconds: (typeof HORIZONS_SECONDS)[number];
  /** Half-width of the range, in standard deviations: 1.2816 is 80 %. */
  readonly rangeWidth: number;
}

export const DEFAULT_ASSESS_SETTINGS: AssessSettings = { priors: DEFAULT_RISK_PRIORS, explainedHorizonSeconds: 3600, rangeWidth: 1.2816 };

interface Extra {
  readonly name: string;
  readonly words: string;
  readonly shift: number;
  readonly spread: number;
}

/** Assesses a node, or a pool when instance readings and signals are left out. Never throws; unusable numbers count as missing. */
export function assess(model: HazardModel, evidence: Evidence, settings: AssessSettings = DEFAULT_ASSESS_SETTINGS): Assessment {
  const values = readFeatures(evidence.readings);
  const scores = scoreSegments(model, values);
  const extras = priorEvidence(evidence, settings.priors);
  const missing = FEATURES.filter((_, j) => Number.isNaN(values[j])).map((feature) => feature.name);
  if (!isBand(evidence.advisorBand)) missing.push("advisor-band");
  if (!isScore(evidence.placementScore)) missing.push("placement-score");
  // What is missing widens the range by what it could have said.
  const unknown =
    (isBand(evidence.advisorBand) ? 0 : UNKNOWN_BAND_SPREAD ** 2) + (isScore(evidence.placementScore) ? 0 : UNKNOWN_SCORE_SPREAD ** 2);
  const shift = extras.reduce((sum, extra) => sum + extra.shift, 0);
  const extraVariance = extras.reduce((sum, extra) => sum + extra.spread ** 2, unknown);
  const hazardWithin = (horizonSeconds: number, deviations: number): number => {
    const shares = segmentShares(horizonSeconds);
    let hazard = 0;
    for (let k = 0; k < shares.length; k++) {
      const share = shares[k] as number;
      if (share > 0)
        hazard +=
          share * Math.exp((scores.log[k] as number) + shift + deviations * Math.sqrt((scores.variance[k] as number) + extraVariance));
    }
    return hazard;
  };
  const isNoticed = (horizonSeconds: number): boolean => evidence.notice !== undefined && evidence.notice.secondsLeft <= horizonSeconds;
  const answer = (horizonSeconds: number): HorizonAnswer => {
    if (isNoticed(horizonSeconds)) return { horizonSeconds, probability: 1, low: 1, high: 1 };
    return {
      horizonSeconds,
      probability: probabilityOf(hazardWithin(horizonSeconds, 0)),
      low: probabilityOf(hazardWithin(horizonSeconds, -settings.rangeWidth)),
      high: probabilityOf(hazardWithin(horizonSeconds, settings.rangeWidth)),
    };
  };
  const explained = settings.explainedHorizonSeconds;
  const { starting, contributions } = explain(model, scores.parts, extras, explained);
  if (isNoticed(explained)) {
    const without = probabilityOf(hazardWithin(explained, 0));
    contributions.push({ name: "notice", words: "interruption notice", points: 1 - without, source: "certain" });
  }
  contributions.sort((a, b) => Math.abs(b.points) - Math.abs(a.points) || (a.name < b.name ? -1 : 1));
  return {
    modelVersion: model.version,
    horizons: HORIZONS_SECONDS.map(answer),
    explainedHorizonSeconds: explained,
    startingProbability: starting,
    contributions,
    missing,
  };
}

const probabilityOf = (hazard: number): number => -Math.expm1(-hazard);
const isBand = (x: number | undefined): x is number => x !== undefined && Number.isInteger(x) && x >= 0 && x <= 4;
const isScore = (x: number | undefined): x is number => x !== undefined && x >= 1 && x <= 10;
/** Spread of the log-factor over the bands, and over the scores, when it is not known which. */
const UNKNOWN_BAND_SPREAD = 0.4;
const UNKNOWN_SCORE_SPREAD = 0.4;
const MIDDLE_SCORE = 5.5;

function priorEvidence(evidence: Evidence, priors: RiskPriors): Extra[] {
  const extras: Extra[] = [];
  const add = (name: string, words: string, prior: Prior, weight: number): void => {
    extras.push({ name, words, shift: Math.log(prior.factor) * weight, spread: prior.logSpread * Math.abs(weight) });
  };
  const freshness = (ageSeconds: number, halfLifeSeconds: number): number => 0.5 ** (Math.max(0, ageSeconds) / halfLifeSeconds);
  if (evidence.rebalance)
    add(
      "rebalance",
      "rebalance recommendation",
      priors.rebalance,
      freshness(evidence.rebalance.ageSeconds, priors.rebalanceHalfLifeSeconds),
    );
  if (isBand(evidence.advisorBand)) {
    const band = priors.advisorBand[evidence.advisorBand];
    if (band) add("advisor-band", "Spot Advisor interruption band", band, 1);
  }
  if (isScore(evidence.placementScore))
    add("placement-score", "spot placement score", priors.placementPerPoint, MIDDLE_SCORE - evidence.placementScore);
  if (evidence.incident)
    add(
      "incident",
      "provider incident in the region",
      priors.incident,
      freshness(evidence.incident.ageSeconds, priors.incidentHalfLifeSeconds),
    );
  return extras;
}

/**
 * Aumann-Shapley along the straight path from "nothing known" to the evidence: input j of a segment with base log-hazard a and shifts c gets
 * exp(a) * c_j * (exp(C) - 1) / C with C the sum of the shifts; then hazard is turned into probability points in proportion.
 */
function explain(
  model: HazardModel,
  parts: readonly Float64Array[],
  extras: readonly Extra[],
  horizonSeconds: number,
): { starting: number; contributions: Contribution[] } {
  const shares = segmentShares(horizonSeconds);
  const points = new Float64Array(FEATURES.length + extras.length);
  const extraShift = extras.reduce((sum, extra) => sum + extra.shift, 0);
  let base = 0;
  let full = 0;
  for (let k = 0; k < shares.length; k++) {
    const start = (shares[k] as number) * Math.exp(model.intercept[k] as number);
    if (start === 0) continue;
    const part = parts[k] as Float64Array;
    const total = part.reduce((sum, x) => sum + x, 0) + extraShift;
    const slope = start * (Math.abs(total) < 1e-9 ? 1 : Math.expm1(total) / total);
    for (let j = 0; j < FEATURES.length; j++) points[j] = (points[j] as number) + slope * (part[j] as number);
    for (let j = 0; j < extras.length; j++)
      points[FEATURES.length + j] = (points[FEATURES.length + j] as number) + slope * (extras[j]?.shift ?? 0);
    base += start;
    full += start * Math.exp(total);
  }
  const starting = probabilityOf(base);
  // Without a net change the slope of 1 - exp(-H) turns hazard into probability.
  const scale = Math.abs(full - base) < 1e-12 ? Math.exp(-base) : (probabilityOf(full) - starting) / (full - base);
  const byWords = new Map<string, Contribution>();
  const add = (name: string, words: string, value: number, source: Contribution["source"]): void => {
    const before = byWords.get(words);
    byWords.set(words, before ? { ...before, points: before.points + value } : { name, words, points: value, source });
  };
  for (const [j, feature] of FEATURES.entries())
    add(feature.name.startsWith("day-") ? "time-of-day" : feature.name, feature.words, (points[j] as number) * scale, "learnt");
  for (const [j, extra] of extras.entries()) add(extra.name, extra.words, (points[FEATURES.length + j] as number) * scale, "prior");
  return { starting, contributions: [...byWords.values()].filter((c) => c.points !== 0) };
}

/** Contributions in words, largest first: "+12.0 points: interruptions in this pool in the last hour". */
export function describeAssessment(assessment: Assessment): string[] {
  const percent = (p: number): string => `${(100 * p).toFixed(1)} %`;
  const hours = assessment.explainedHorizonSeconds / 3600;
  const total = assessment.horizons.find((h) => h.horizonSeconds === assessment.explainedHorizonSeconds);
  const lines = [`${percent(assessment.startingProbability)} within ${hours} h where nothing is known`];
  for (const c of assessment.contributions) {
    lines.push(
      `${c.points >= 0 ? "+" : "-"}${(100 * Math.abs(c.points)).toFixed(1)} points: ${c.words}${c.source === "prior" ? " (set by policy, not learnt)" : ""}`,
    );
  }
  if (total) lines.push(`= ${percent(total.probability)} (${percent(total.low)} to ${percent(total.high)})`);
  if (assessment.missing.length > 0) lines.push(`not known, so the range is wider: ${assessment.missing.join(", ")}`);
  return lines;
}
