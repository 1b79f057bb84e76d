// The survival curve of an assessment for a graph: the chance that the instance is still there after a time. Between two horizons the hazard is
// constant, as the model has it; with a notice the curve falls to zero at its deadline's horizon.
import { type Assessment, type SurvivalPoint, SurvivalPointSchema } from "@aether/contract/gen/aether/v2/risk_pb";
import { create } from "@bufbuild/protobuf";

const pointsEach = 8;

export function survivalCurve(assessment: Pick<Assessment, "horizons">): SurvivalPoint[] {
  const points: SurvivalPoint[] = [create(SurvivalPointSchema, { afterSeconds: 0, probability: 1, low: 1, high: 1 })];
  let from = { horizonSeconds: 0, probability: 0, low: 0, high: 0 };
  for (const to of assessment.horizons) {
    for (let i = 1; i <= pointsEach; i++) {
      const part = i / pointsEach;
      points.push(
        create(SurvivalPointSchema, {
          afterSeconds: Math.round(from.horizonSeconds + part * (to.horizonSeconds - from.horizonSeconds)),
          probability: between(from.probability, to.probability, part),
          // The chance to survive is least where that of a loss is highest.
          low: between(from.high, to.high, part),
          high: between(from.low, to.low, part),
        }),
      );
    }
    from = to;
  }
  return points;
}

/** Survival goes down by a constant rate from one horizon's to the next. */
function between(lossFrom: number, lossTo: number, part: number): number {
  const [start, end] = [1 - lossFrom, 1 - lossTo];
  return start <= 0 || end <= 0 ? (part < 1 ? start : end) : start * (end / start) ** part;
}
