/**
 * The four named rules, in their order. They always answer, whatever the model says, and they are the baseline that the model must beat.
 * Thresholds are configuration. Absolute volatility in dollars means nothing for a three-cent instance, so the relative one stands beside it.
 */

export interface RuleThresholds {
  /** Rise of the last price over the mean of the last ten, as a fraction (0.2 = 20 % above). */
  readonly trend: number;
  /** Standard deviation of the price history, in USD per hour. */
  readonly volatilityUsd: number;
}

export const DEFAULT_RULE_THRESHOLDS: RuleThresholds = { trend: 0.2, volatilityUsd: 5 };

/** Fewer prices than this give neither a trend nor a volatility. */
const FEWEST_PRICES = 3;
const TREND_WINDOW = 10;

export interface RuleInput {
  /** Oldest first, USD per hour. */
  readonly spotPriceHistory: readonly number[];
  readonly rebalanceSignal: boolean;
}

export type RuleName = "rebalance" | "price-spike" | "market-instability" | "stable";

export interface RuleVerdict {
  readonly rule: RuleName;
  readonly status: "CRITICAL" | "LOW";
  readonly reason: "Cloud Provider Signal" | "Price Spike Detected" | "Market Instability" | "Stable";
  readonly measures: PriceMeasures;
}

export interface PriceMeasures {
  /** Last price over the mean of the last ten, less one; undefined with too few prices or a mean of zero. */
  readonly trend: number | undefined;
  /** Standard deviation of all given prices, USD per hour. */
  readonly volatilityUsd: number | undefined;
  /** The same divided by the mean price. */
  readonly relativeVolatility: number | undefined;
}

/** Measures a price history; prices must be finite. */
export function measurePrices(history: readonly number[]): PriceMeasures {
  if (history.length < FEWEST_PRICES) return { trend: undefined, volatilityUsd: undefined, relativeVolatility: undefined };
  const window = history.slice(-TREND_WINDOW);
  const windowMean = window.reduce((sum, x) => sum + x, 0) / window.length;
  const mean = history.reduce((sum, x) => sum + x, 0) / history.length;
  const volatilityUsd = Math.sqrt(history.reduce((sum, x) => sum + (x - mean) ** 2, 0) / history.length);
  const last = history.at(-1) ?? 0;
  return {
    trend: windowMean > 0 ? last / windowMean - 1 : undefined,
    volatilityUsd,
    relativeVolatility: mean > 0 ? volatilityUsd / mean : undefined,
  };
}

/** Applies the rules: rebalance, then trend, then volatility; else stable. */
export function applyRules(input: RuleInput, thresholds: RuleThresholds = DEFAULT_RULE_THRESHOLDS): RuleVerdict {
  const measures = measurePrices(input.spotPriceHistory);
  if (input.rebalanceSignal) return { rule: "rebalance", status: "CRITICAL", reason: "Cloud Provider Signal", measures };
  if (measures.trend !== undefined && measures.trend > thresholds.trend) {
    return { rule: "price-spike", status: "CRITICAL", reason: "Price Spike Detected", measures };
  }
  if (measures.volatilityUsd !== undefined && measures.volatilityUsd > thresholds.volatilityUsd) {
    return { rule: "market-instability", status: "CRITICAL", reason: "Market Instability", measures };
  }
  return { rule: "stable", status: "LOW", reason: "Stable", measures };
}
