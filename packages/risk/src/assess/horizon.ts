/** Horizons of an assessment, shortest first. */
export interface WithHorizons {
  readonly horizons: readonly { readonly horizonSeconds: number; readonly probability: number }[];
}

/** The probability of an interruption within any time up to the longest horizon: between two horizons the hazard is constant. */
export function probabilityWithin({ horizons }: WithHorizons, seconds: number): number {
  let from = { horizonSeconds: 0, probability: 0 };
  for (const to of horizons) {
    if (seconds <= to.horizonSeconds) {
      if (to.probability >= 1) return seconds === to.horizonSeconds ? 1 : from.probability;
      const part = (seconds - from.horizonSeconds) / (to.horizonSeconds - from.horizonSeconds);
      return 1 - (1 - from.probability) * ((1 - to.probability) / (1 - from.probability)) ** part;
    }
    from = to;
  }
  return from.probability;
}
