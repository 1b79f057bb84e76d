// `POST /analyze`: one stateless question, the same answer from the control plane and from `aether risk serve`.
import { fault } from "@aether/contract";
import { type AnalyzeRequest, type AnalyzeResponse, AnalyzeResponseSchema } from "@aether/contract/gen/aether/v2/risk_pb";
import { analyze, DEFAULT_HAZARD_MODEL, type FieldError, parseAnalyzeRequest, type RuleThresholds } from "@aether/risk";
import { create } from "@bufbuild/protobuf";

/** Throws INVALID_ARGUMENT: `field` names the first field that is wrong, `details` has a sentence for each. */
export function answerAnalyze(request: AnalyzeRequest, thresholds: RuleThresholds): AnalyzeResponse {
  const { spotPriceHistory, rebalanceSignal, capacityScore } = request;
  const parsed = parseAnalyzeRequest({ spotPriceHistory, rebalanceSignal, capacityScore });
  if ("errors" in parsed) throw fieldFault(parsed.errors);
  const { trend, volatilityUsd, relativeVolatility, ...answer } = analyze(DEFAULT_HAZARD_MODEL, parsed.request, thresholds);
  return create(AnalyzeResponseSchema, {
    ...answer,
    contributions: answer.contributions.map((each) => ({ ...each })),
    ...(trend === null ? {} : { trend }),
    ...(volatilityUsd === null ? {} : { volatilityUsd }),
    ...(relativeVolatility === null ? {} : { relativeVolatility }),
  });
}

export function fieldFault(errors: readonly FieldError[]) {
  const [first] = errors;
  return fault("INVALID_ARGUMENT", errors.map(({ field, message }) => `${field} ${message}`.trim()).join("; "), {
    ...(first === undefined || first.field === "" ? {} : { field: first.field }),
    details: Object.fromEntries(errors.filter(({ field }) => field !== "").map(({ field, message }) => [field, message])),
  });
}
