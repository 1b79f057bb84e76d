// Three words for a probability, for events and lists; with a band between them, so that an answer at a border does not tell twice a minute.
export type RiskLevel = "low" | "elevated" | "critical";

/** Below it the risk is low. */
export const elevatedFrom = 0.2;
const rising = { elevated: elevatedFrom, critical: 0.6 } as const;
/** A level is left only when the probability falls below this share of its border. */
const falling = 0.8;

/** @param was the level before; undefined: none, so the borders themselves count. */
export function levelOf(probability: number, was: RiskLevel | undefined): RiskLevel {
  const border = (level: "elevated" | "critical"): number => rising[level] * (was === "critical" || was === level ? falling : 1);
  if (probability >= border("critical")) return "critical";
  return probability >= border("elevated") ? "elevated" : "low";
}
