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
      factor: z.number().min(0.01).max(1000).default(fallback.factor).describe("The hazard is multiplied by it."),
      logSpread: z.number().min(0).max(3).default(fallback.logSpread).describe("Standard deviation of its logarithm."),
    })
    .prefault({});
const halfLife = (fallback: number) => z.number().min(60).max(604_800).default(fallback);

export const riskConfig = z
  .strictObject({
    everyMs: z.int().min(1_000).max(3_600_000).default(60_000).describe("Everything is assessed so often, and at once on a signal."),
    keepDays: z.int().min(1).max(365).default(14).describe("The history of assessments is kept so long."),
    /** Thresholds of the named rules of POST /analyze. */
    rules: z
      .strictObject({
        trend: z
          .number()
          .positive()
          .max(100)
          .default(DEFAULT_RULE_THRESHOLDS.trend)
          .describe("A rise of the price over the last ten by more than this share is a spike."),
        volatilityUsd: z
          .number()
          .positive()
          .max(10_000)
          .default(DEFAULT_RULE_THRESHOLDS.volatilityUsd)
          .describe("A standard deviation above this is instability."),
      })
      .prefault({}),
    /** What no public data teaches: see docs/concepts/risk.md. */
    priors: z
      .strictObject({
        rebalance: prior(DEFAULT_RISK_PRIORS.rebalance),
        rebalanceHalfLifeSeconds: halfLife(DEFAULT_RISK_PRIORS.rebalanceHalfLifeSeconds).describe(
          "After so long a recommendation counts half.",
        ),
        placementPerPoint: prior(DEFAULT_RISK_PRIORS.placementPerPoint),
        incident: prior(DEFAULT_RISK_PRIORS.incident),
        incidentHalfLifeSeconds: halfLife(DEFAULT_RISK_PRIORS.incidentHalfLifeSeconds).describe("After so long an incident counts half."),
      })
      .prefault({}),
  })
  .prefault({});

/** When a move pays. All in USD and seconds. */
export const weighingConfig = z
  .strictObject({
    horizonSeconds: z
      .int()
      .min(120)
      .max(86_400)
      .default(DEFAULT_MOVE_POLICY.horizonSeconds)
      .describe("What may happen within this time is weighed."),
    moveAboveRatio: z
      .number()
      .min(1)
      .max(100)
      .default(DEFAULT_MOVE_POLICY.moveAboveRatio)
      .describe("A move pays when staying is expected to cost more than so many times the move."),
    restSeconds: z
      .int()
      .min(0)
      .max(604_800)
      .default(DEFAULT_MOVE_POLICY.restSeconds)
      .describe("A workload that moved is not weighed again before."),
    mostMovesPerDay: z
      .int()
      .min(0)
      .max(1_000)
      .default(DEFAULT_MOVE_POLICY.mostMovesPerDay)
      .describe("Of one workload, moves that nothing forces."),
    downtimeUsdPerSecond: z
      .number()
      .min(0)
      .max(1_000_000)
      .default(DEFAULT_MOVE_COSTS.downtimeUsdPerSecond)
      .describe("What a second without answers costs."),
    lossDowntimeSeconds: z
      .number()
      .min(0)
      .max(604_800)
      .default(DEFAULT_MOVE_COSTS.lossDowntimeSeconds)
      .describe("How long a workload is away when it is lost."),
    lossUsd: z.number().min(0).max(1e9).default(DEFAULT_MOVE_COSTS.lossUsd).describe("What a loss costs besides its downtime."),
    noticeFailureProbability: z
      .number()
      .min(0)
      .max(1)
      .default(DEFAULT_MOVE_COSTS.noticeFailureProbability)
      .describe("How often a move on a notice does not make it."),
    freezeSeconds: z
      .number()
      .min(0)
      .max(3_600)
      .default(DEFAULT_MOVE_COSTS.freezeSeconds)
      .describe("How long a move stops the workload, where nothing was measured."),
    transferUsdPerGb: z
      .number()
      .min(0)
      .max(100)
      .default(DEFAULT_MOVE_COSTS.transferUsdPerGb)
      .describe("What a gigabyte between zones costs."),
    overlapSeconds: z
      .number()
      .min(0)
      .max(86_400)
      .default(DEFAULT_MOVE_COSTS.overlapSeconds)
      .describe("Both instances are paid for so long."),
  })
  .prefault({});

export type RiskConfig = z.infer<typeof riskConfig>;
export type WeighingConfig = z.infer<typeof weighingConfig>;

export const assessSettings = ({ priors }: RiskConfig) => ({
  ...DEFAULT_ASSESS_SETTINGS,
  priors: { ...DEFAULT_RISK_PRIORS, ...priors },
});
