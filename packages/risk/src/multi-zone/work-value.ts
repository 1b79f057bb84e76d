/**
 * What one more hour of work is worth when the zones' supply is only guessed: zones are filled from the cheapest on until the work that is left
 * fits into the time that is left; the last one's price per useful hour is the value (the dual of that linear programme). Three guesses of
 * the supply are averaged: work is worth more when a shortfall is likely, long before it is certain.
 */
export interface ZoneSupply {
  /** Share of the time left in which the zone has capacity. */
  readonly up: number;
  /** Useful part of the time there: less what starts take. */
  readonly useful: number;
  /** USD per useful hour. */
  readonly usdPerHour: number;
}

const GUESSES = [0.3, 0.5, 0.8];
const MOST_UP = 0.995;

/** @param need work left over time left. Never above the on-demand price. */
export function workValue(zones: readonly ZoneSupply[], need: number, onDemandUsdPerHour: number): number {
  const byPrice = zones.filter((zone) => zone.usdPerHour < onDemandUsdPerHour).sort((a, b) => a.usdPerHour - b.usdPerHour);
  const lastPrice = (guess: number): number => {
    let nobodyUp = 1;
    let progress = 0;
    for (const zone of byPrice) {
      const up = Math.min(MOST_UP, zone.up * guess);
      progress += nobodyUp * up * zone.useful;
      nobodyUp *= 1 - up;
      if (progress >= need) return zone.usdPerHour;
    }
    return onDemandUsdPerHour;
  };
  return GUESSES.reduce((sum, guess) => sum + lastPrice(guess), 0) / GUESSES.length;
}
