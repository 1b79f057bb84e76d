// How much of the last day a pool had capacity, from what the fleet has lived through: it had some while one of its instances ran. The time after
// an instance that an operator had taken out of service (cordoned) tells nothing and is left out.
export interface NodeSpan {
  readonly fromMs: number;
  /** When it was last heard; now, if it still is. */
  readonly toMs: number;
  readonly isPlanned: boolean;
}

const dayMs = 86_400_000;
/** Less than this says nothing of a day; the model was taught with the same. */
const enoughMs = 6 * 3_600_000;

/** 0 to 1; undefined where less than six hours of the day are known. */
export function capacityShare(spans: readonly NodeSpan[], nowMs: number): number | undefined {
  const sinceMs = Math.max(nowMs - dayMs, Math.min(...spans.map(({ fromMs }) => fromMs), nowMs));
  let upMs = 0;
  let unknownMs = 0;
  let coveredToMs = Number.NEGATIVE_INFINITY;
  let wasPlanned = false;
  const gap = (toMs: number): void => {
    const lengthMs = toMs - Math.max(coveredToMs, sinceMs);
    if (wasPlanned && lengthMs > 0) unknownMs += lengthMs;
  };
  for (const span of [...spans].sort((a, b) => a.fromMs - b.fromMs)) {
    if (span.fromMs > coveredToMs) gap(span.fromMs);
    if (span.toMs <= coveredToMs) continue;
    upMs += Math.max(0, span.toMs - Math.max(span.fromMs, coveredToMs, sinceMs));
    coveredToMs = span.toMs;
    wasPlanned = span.isPlanned;
  }
  gap(nowMs);
  const knownMs = nowMs - sinceMs - unknownMs;
  return knownMs < enoughMs ? undefined : Math.min(1, upMs / knownMs);
}
