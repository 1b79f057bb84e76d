/**
 * Move or stay: move when what staying is expected to lose exceeds what moving costs, by a margin, and not again before the last move has had
 * time to pay off. Everything is in USD over one horizon. A notice is not weighed: the instance is going. Pure: times are given.
 */
export interface MovePolicy {
  /** The time over which staying and moving are compared, in seconds; risks must be for the same time. */
  readonly horizonSeconds: number;
  /** Staying must be expected to lose this many times the cost of moving (above 1: hysteresis). */
  readonly moveAboveRatio: number;
  /** No second move before this many seconds, unless there is a notice. */
  readonly restSeconds: number;
  /** At most this many moves in a day, unless there is a notice. */
  readonly mostMovesPerDay: number;
}

export const DEFAULT_MOVE_POLICY: MovePolicy = { horizonSeconds: 3600, moveAboveRatio: 1.5, restSeconds: 1800, mostMovesPerDay: 8 };

/** What one workload is worth and what its moves take. */
export interface MoveCosts {
  /** A second of the workload's unavailability, in USD. */
  readonly downtimeUsdPerSecond: number;
  /** How long it is down when the instance is lost unmoved, and what is lost besides (work redone, data). */
  readonly lossDowntimeSeconds: number;
  readonly lossUsd: number;
  /** Chance that a notice is too short to move it (from the certificate), 0 to 1. Only then is an interruption a loss. */
  readonly noticeFailureProbability: number;
  readonly freezeSeconds: number;
  readonly transferGb: number;
  readonly transferUsdPerGb: number;
  /** Both instances are billed for so long. */
  readonly overlapSeconds: number;
}

/** Of a service that loses 36 USD an hour when it is down; a gigabyte to carry. Every number is the operator's to set. */
export const DEFAULT_MOVE_COSTS: MoveCosts = {
  downtimeUsdPerSecond: 0.01,
  lossDowntimeSeconds: 600,
  lossUsd: 1,
  noticeFailureProbability: 0.05,
  freezeSeconds: 2,
  transferGb: 1,
  transferUsdPerGb: 0.01,
  overlapSeconds: 120,
};

export interface Side {
  /** Probability of interruption within the policy's horizon. */
  readonly probability: number;
  readonly usdPerHour: number;
}

export interface DecideInput {
  readonly here: Side;
  /** The best target; undefined where there is none. */
  readonly target: Side | undefined;
  readonly costs: MoveCosts;
  readonly hasNotice: boolean;
  /** Seconds since the last move; undefined if never moved. */
  readonly sinceLastMoveSeconds: number | undefined;
  readonly movesLastDay: number;
}

export interface MoveDecision {
  readonly action: "migrate" | "stay";
  readonly rule: "notice" | "pays" | "does-not-pay" | "resting" | "too-many-moves" | "no-target";
  /** Expected loss over the horizon if it stays, and the cost of moving with the risk at the target, in USD. */
  readonly stayUsd: number;
  readonly moveUsd: number;
  /** Moves when `stayUsd` exceeds this many times `moveUsd`. */
  readonly threshold: number;
  readonly reason: string;
}

/** One move's certain cost, in USD, without the risk at the target. */
export function moveCostUsd(costs: MoveCosts, targetUsdPerHour: number): number {
  return (
    costs.freezeSeconds * costs.downtimeUsdPerSecond +
    costs.transferGb * costs.transferUsdPerGb +
    (costs.overlapSeconds / 3600) * targetUsdPerHour
  );
}

/** What one interruption is expected to cost, in USD: a move in haste, or a loss when the notice is too short. */
export function interruptionCostUsd(costs: MoveCosts, targetUsdPerHour: number): number {
  const lost = costs.lossUsd + costs.lossDowntimeSeconds * costs.downtimeUsdPerSecond;
  return costs.noticeFailureProbability * lost + (1 - costs.noticeFailureProbability) * moveCostUsd(costs, targetUsdPerHour);
}

export function decideMove(input: DecideInput, policy: MovePolicy = DEFAULT_MOVE_POLICY): MoveDecision {
  const { here, target, costs } = input;
  const hours = policy.horizonSeconds / 3600;
  const price = target?.usdPerHour ?? here.usdPerHour;
  const each = interruptionCostUsd(costs, price);
  // A dearer instance here than there is a loss of staying too, and the other way round.
  const stayUsd = here.probability * each + Math.max(0, here.usdPerHour - price) * hours;
  const moveUsd = moveCostUsd(costs, price) + (target?.probability ?? 0) * each + Math.max(0, price - here.usdPerHour) * hours;
  const result = (action: MoveDecision["action"], rule: MoveDecision["rule"], reason: string): MoveDecision => ({
    action,
    rule,
    stayUsd,
    moveUsd,
    threshold: policy.moveAboveRatio,
    reason,
  });
  const sums = `staying is expected to lose ${stayUsd.toFixed(4)} USD in ${hours} h, moving costs ${moveUsd.toFixed(4)} USD`;
  if (target === undefined) return result("stay", "no-target", "there is nowhere to go");
  if (input.hasNotice) return result("migrate", "notice", "the instance has been given notice");
  if (input.sinceLastMoveSeconds !== undefined && input.sinceLastMoveSeconds < policy.restSeconds) {
    return result("stay", "resting", `moved ${Math.round(input.sinceLastMoveSeconds)} s ago, rests ${policy.restSeconds} s`);
  }
  if (input.movesLastDay >= policy.mostMovesPerDay) return result("stay", "too-many-moves", `${input.movesLastDay} moves in the last day`);
  if (stayUsd > policy.moveAboveRatio * moveUsd) return result("migrate", "pays", sums);
  return result("stay", "does-not-pay", `${sums} (moves above ${policy.moveAboveRatio} times)`);
}
