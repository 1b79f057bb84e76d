/**
 * `POST /analyze`: the answer that old clients know (status, prediction, rca, confidence), from the named rules, with the model's calibrated
 * probability and its reasons beside it. Validation names the field; nothing is guessed.
 */
import { type AssessSettings, assess, type Contribution, DEFAULT_ASSESS_SETTINGS } from "./assess.ts";
import type { PoolReadings } from "./features.ts";
import type { HazardModel } from "./hazard-model.ts";
import { applyRules, DEFAULT_RULE_THRESHOLDS, type RuleName, type RuleThresholds } from "./rules.ts";

export interface AnalyzeRequest {
  /** Oldest first, USD per hour. */
  readonly spotPriceHistory: readonly number[];
  readonly rebalanceSignal: boolean;
  /** 0 (no capacity) to 1 (plenty); read as a placement score from 1 to 10. */
  readonly capacityScore: number;
}

export interface AnalyzeResponse {
  readonly status: "CRITICAL" | "LOW";
  /** 100 for CRITICAL, 0 for LOW: what old clients read. */
  readonly prediction: number;
  readonly rca: string;
  /** The named rule that answered. */
  readonly rule: RuleName;
  /** 1 less the width of the probability's range: how much is known, not how bad it is. */
  readonly confidence: number;
  readonly probability: number;
  readonly horizonSeconds: number;
  readonly contributions: readonly Contribution[];
  readonly trend: number | null;
  readonly volatilityUsd: number | null;
  readonly relativeVolatility: number | null;
}

export interface FieldError {
  readonly field: string;
  readonly message: string;
}

/** More prices than this are refused: 1,440 is a day of minutes. */
export const MOST_PRICES = 1440;

/** Parses a request body. Returns every field that is wrong, not just the first. */
export function parseAnalyzeRequest(body: unknown): { readonly request: AnalyzeRequest } | { readonly errors: readonly FieldError[] } {
  if (typeof body !== "object" || body === null || Array.isArray(body))
    return { errors: [{ field: "", message: "must be a JSON object" }] };
  const { spotPriceHistory, rebalanceSignal, capacityScore } = body as Record<string, unknown>;
  const errors: FieldError[] = [];
  if (!Array.isArray(spotPriceHistory)) errors.push({ field: "spotPriceHistory", message: "must be a list of prices in USD per hour" });
  else if (spotPriceHistory.length > MOST_PRICES)
    errors.push({ field: "spotPriceHistory", message: `must hold at most ${MOST_PRICES} prices` });
  else {
    const wrong = spotPriceHistory.findIndex((price) => typeof price !== "number" || !Number.isFinite(price) || price < 0);
    if (wrong >= 0) errors.push({ field: `spotPriceHistory[${wrong}]`, message: "must be a number of 0 or more" });
  }
  if (typeof rebalanceSignal !== "boolean") errors.push({ field: "rebalanceSignal", message: "must be true or false" });
  if (typeof capacityScore !== "number" || !(capacityScore >= 0 && capacityScore <= 1))
    errors.push({ field: "capacityScore", message: "must be a number from 0 to 1" });
  if (errors.length > 0) return { errors };
  return {
    request: {
      spotPriceHistory: spotPriceHistory as number[],
      rebalanceSignal: rebalanceSignal as boolean,
      capacityScore: capacityScore as number,
    },
  };
}

/** Analyses one request. */
export function analyze(
  model: HazardModel,
  request: AnalyzeRequest,
  thresholds: RuleThresholds = DEFAULT_RULE_THRESHOLDS,
  settings: AssessSettings = DEFAULT_ASSESS_SETTINGS,
): AnalyzeResponse {
  const verdict = applyRules(request, thresholds);
  const { trend, volatilityUsd, relativeVolatility } = verdict.measures;
  const readings: PoolReadings = {
    ...(trend === undefined ? {} : { priceTrendLastDay: trend }),
    ...(relativeVolatility === undefined ? {} : { priceVolatilityLastDay: relativeVolatility }),
  };
  const assessment = assess(
    model,
    { readings, placementScore: 1 + 9 * request.capacityScore, ...(request.rebalanceSignal ? { rebalance: { ageSeconds: 0 } } : {}) },
    settings,
  );
  const horizon = assessment.horizons.find((h) => h.horizonSeconds === assessment.explainedHorizonSeconds);
  const isCritical = verdict.status === "CRITICAL";
  return {
    status: verdict.status,
    prediction: isCritical ? 100 : 0,
    rca: verdict.reason,
    rule: verdict.rule,
    confidence: horizon ? 1 - (horizon.high - horizon.low) : 0,
    probability: horizon?.probability ?? 0,
    horizonSeconds: assessment.explainedHorizonSeconds,
    contributions: assessment.contributions,
    trend: trend ?? null,
    volatilityUsd: volatilityUsd ?? null,
    relativeVolatility: relativeVolatility ?? null,
  };
}
