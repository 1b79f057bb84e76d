// Configuration of assessments and of when a move pays, with units in the names.
import {
  DEFAULT_ASSESS_SETTINGS,
  DEFAULT_MOVE_COSTS,
  DEFAULT_MOVE_POLICY,
  DEFAULT_RISK_PRIORS,
  DEFAULT_RULE_THRESHOLDS,
} from "@aether/risk";
import { z } from "zod";

const prior = (fallback: { readonly factor: number; readonly logSpread: number }) =>
  z
    .strictObject({
      /** The hazard is multiplied by it. */
      factor: z.number().min(0.01).max(1000).default(fallback.factor),
      /** Standard deviation of its logarithm. */
      logSpread: z.number().min(0).max(3).default(fallback.logSpread),
    })
    .prefault({});
const halfLife = (fallback: number) => z.number().min(60).max(604_800).default(fallback);

export const riskConfig = z
  .strictObject({
    /** Everything is assessed so often, and at once on a signal. */
    everyMs: z.int().min(1_000).max(3_600_000).default(60_000),
    keepDays: z.int().min(1).max(365).default(14),
    /** Thresholds of the named rules of POST /analyze. */
    rules: z
      .strictObject({
        trend: z.number().positive().max(100).default(DEFAULT_RULE_THRESHOLDS.trend),
        volatilityUsd: z.number().positive().max(10_000).default(DEFAULT_RULE_THRESHOLDS.volatilityUsd),
      })
      .prefault({}),
    /** What no public data teaches: see docs/concepts/risk.md. */
    priors: z
      .strictObject({
        rebalance: prior(DEFAULT_RISK_PRIORS.rebalance),
        rebalanceHalfLifeSeconds: halfLife(DEFAULT_RISK_PRIORS.rebalanceHalfLifeSeconds),
        placementPerPoint: prior(DEFAULT_RISK_PRIORS.placementPerPoint),
        incident: prior(DEFAULT_RISK_PRIORS.incident),
        incidentHalfLifeSeconds: halfLife(DEFAULT_RISK_PRIORS.incidentHalfLifeSeconds),
      })
      .prefault({}),
  })
  .prefault({});

/** When a move pays. All in USD and seconds. */
export const weighingConfig = z
  .strictObject({
    horizonSeconds: z.int().min(120).max(86_400).default(DEFAULT_MOVE_POLICY.horizonSeconds),
    moveAboveRatio: z.number().min(1).max(100).default(DEFAULT_MOVE_POLICY.moveAboveRatio),
    restSeconds: z.int().min(0).max(604_800).default(DEFAULT_MOVE_POLICY.restSeconds),
    mostMovesPerDay: z.int().min(0).max(1_000).default(DEFAULT_MOVE_POLICY.mostMovesPerDay),
    downtimeUsdPerSecond: z.number().min(0).max(1_000_000).default(DEFAULT_MOVE_COSTS.downtimeUsdPerSecond),
    lossDowntimeSeconds: z.number().min(0).max(604_800).default(DEFAULT_MOVE_COSTS.lossDowntimeSeconds),
    lossUsd: z.number().min(0).max(1e9).default(DEFAULT_MOVE_COSTS.lossUsd),
    noticeFailureProbability: z.number().min(0).max(1).default(DEFAULT_MOVE_COSTS.noticeFailureProbability),
    freezeSeconds: z.number().min(0).max(3_600).default(DEFAULT_MOVE_COSTS.freezeSeconds),
    transferUsdPerGb: z.number().min(0).max(100).default(DEFAULT_MOVE_COSTS.transferUsdPerGb),
    overlapSeconds: z.number().min(0).max(86_400).default(DEFAULT_MOVE_COSTS.overlapSeconds),
  })
  .prefault({});

export type RiskConfig = z.infer<typeof riskConfig>;
export type WeighingConfig = z.infer<typeof weighingConfig>;

export const assessSettings = ({ priors }: RiskConfig) => ({
  ...DEFAULT_ASSESS_SETTINGS,
  priors: { ...DEFAULT_RISK_PRIORS, ...priors },
});
