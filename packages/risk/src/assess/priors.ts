/**
 * Evidence that no public data teaches: there are no recorded notices, rebalance recommendations or placement scores to learn from. What they
 * mean is therefore a prior: a multiplier of the hazard with a stated range, which an operator can set. Sources: AWS documents a notice as
 * two minutes ahead; a rebalance recommendation as "elevated risk" without a number; the Spot Advisor band as the share of instances
 * interrupted in the trailing month; the placement score as 1 (unlikely) to 10 (likely) to get capacity.
 */

export interface Prior {
  /** The hazard is multiplied by this when the evidence is fresh. */
  readonly factor: number;
  /** Standard deviation of its logarithm: how little is known about it. */
  readonly logSpread: number;
}

export interface RiskPriors {
  readonly rebalance: Prior;
  /** The recommendation's log-factor halves every so many seconds. */
  readonly rebalanceHalfLifeSeconds: number;
  /** By Spot Advisor band: <5 %, 5-10, 10-15, 15-20, >20 %. */
  readonly advisorBand: readonly [Prior, Prior, Prior, Prior, Prior];
  /** Per point of the placement score (1 to 10) below the middle of the scale. */
  readonly placementPerPoint: Prior;
  /** A provider incident in the region; never enough for a migration on its own. */
  readonly incident: Prior;
  readonly incidentHalfLifeSeconds: number;
}

const prior = (factor: number, logSpread: number): Prior => ({ factor, logSpread });

export const DEFAULT_RISK_PRIORS: RiskPriors = {
  rebalance: prior(40, 1),
  rebalanceHalfLifeSeconds: 3600,
  // Proportional to the middle of each band against 10 %, with the root taken: a month's mean says little about the next hour.
  advisorBand: [prior(0.5, 0.5), prior(0.87, 0.5), prior(1.12, 0.5), prior(1.32, 0.5), prior(1.6, 0.5)],
  placementPerPoint: prior(1.15, 0.1),
  incident: prior(1.5, 0.5),
  incidentHalfLifeSeconds: 3600,
};
