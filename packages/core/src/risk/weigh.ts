// What moves cost and when they pay: the configuration in the form that the pure `decideMove` and `replay` read.
import type { MoveCosts, MovePolicy } from "@aether/risk";
import type { WeighingConfig } from "./config.ts";

export interface Weighing {
  readonly policy: MovePolicy;
  /** `transferGb` is the workload's own where it is known. */
  readonly costs: MoveCosts;
}

export function weighingOf(config: WeighingConfig): Weighing {
  const { horizonSeconds, moveAboveRatio, restSeconds, mostMovesPerDay, ...costs } = config;
  return { policy: { horizonSeconds, moveAboveRatio, restSeconds, mostMovesPerDay }, costs: { ...costs, transferGb: 1 } };
}
