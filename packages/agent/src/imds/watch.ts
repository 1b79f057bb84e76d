// The pure half of the watcher: what was announced before, what is announced now, and which signals follow from the difference.
// Each change gives one signal; trouble with the service changes nothing, so an unreachable service never withdraws a notice.
import type { InstanceAction, RebalanceRecommendation } from "./answers.ts";

/** One question to the service: something is announced, nothing is, or the answer is not known. */
export type Reading<T> = { readonly kind: "announced"; readonly value: T } | { readonly kind: "nothing" } | { readonly kind: "trouble" };

/** What is in force; kept on disk so that a restart repeats nothing. */
export interface Announced {
  readonly notice?: InstanceAction | undefined;
  readonly rebalance?: RebalanceRecommendation | undefined;
}

export interface HeardSignal {
  readonly kind: "NOTICE" | "REBALANCE" | "WITHDRAWN";
  /** Of a notice: what will be done to the instance. Of a withdrawal: what was withdrawn, a notice's action or "rebalance". */
  readonly action: string;
  /** When the announced thing happens or was recommended, ms since the epoch. */
  readonly effectiveAtMs: number;
}

/** The step from one poll to the next. */
export function watch(
  before: Announced,
  notice: Reading<InstanceAction>,
  rebalance: Reading<RebalanceRecommendation>,
): { announced: Announced; signals: HeardSignal[] } {
  const signals: HeardSignal[] = [];
  const after: { notice: Announced["notice"]; rebalance: Announced["rebalance"] } = { notice: before.notice, rebalance: before.rebalance };
  if (notice.kind === "announced") {
    const { action, effectiveAtMs } = notice.value;
    if (before.notice?.action !== action || before.notice.effectiveAtMs !== effectiveAtMs)
      signals.push({ kind: "NOTICE", action, effectiveAtMs });
    after.notice = notice.value;
  } else if (notice.kind === "nothing") {
    if (before.notice) signals.push({ kind: "WITHDRAWN", ...before.notice });
    after.notice = undefined;
  }
  if (rebalance.kind === "announced") {
    const { noticedAtMs } = rebalance.value;
    if (before.rebalance?.noticedAtMs !== noticedAtMs) signals.push({ kind: "REBALANCE", action: "", effectiveAtMs: noticedAtMs });
    after.rebalance = rebalance.value;
  } else if (rebalance.kind === "nothing") {
    if (before.rebalance) signals.push({ kind: "WITHDRAWN", action: "rebalance", effectiveAtMs: before.rebalance.noticedAtMs });
    after.rebalance = undefined;
  }
  return { announced: after, signals };
}
