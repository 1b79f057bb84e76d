// Does a move pay? Joins assessments, prices and what a workload's moves take to the pure `decideMove`, for workloads of nodes under a signal
// that forces nothing, and for those that nobody has signalled. Where no price is known both sides are counted at the same (zero) price, so
// that only risk and downtime decide, and the reason says so.
import {
  type AssessSettings,
  assess,
  DEFAULT_HAZARD_MODEL,
  DEFAULT_MOVE_COSTS,
  decideMove,
  type MoveCosts,
  type MoveDecision,
  type MovePolicy,
  probabilityWithin,
} from "@aether/risk";
import type { Kysely } from "kysely";
import type { Database } from "../db/schema.ts";
import type { WeighingConfig } from "./config.ts";
import { readSubjects } from "./evidence.ts";

export interface Weighing {
  readonly policy: MovePolicy;
  /** `transferGb` is replaced by the workload's own size. */
  readonly costs: MoveCosts;
}

export function weighingOf(config: WeighingConfig): Weighing {
  const { horizonSeconds, moveAboveRatio, restSeconds, mostMovesPerDay, ...costs } = config;
  return {
    policy: { horizonSeconds, moveAboveRatio, restSeconds, mostMovesPerDay },
    costs: { ...costs, transferGb: DEFAULT_MOVE_COSTS.transferGb },
  };
}

export interface WeighInput {
  /** By node. */
  readonly workloads: ReadonlyMap<string, readonly { readonly name: string; readonly memoryBytes: number }[]>;
  /** All nodes that may be targets. */
  readonly nodes: readonly {
    readonly id: string;
    readonly isConnected: boolean;
    readonly isCordoned: boolean;
    readonly announced: unknown;
  }[];
}

/** With what the sums were made of. */
export interface Weighed extends MoveDecision {
  readonly sides?: {
    readonly modelVersion: string;
    readonly horizonSeconds: number;
    readonly here: Side;
    readonly target: Side | undefined;
  };
}

/** By workload. Reads what it needs with `db`, so it may be inside a transaction. */
export type Weigh = (db: Kysely<Database>, input: WeighInput, nowMs: number) => Promise<Map<string, Weighed>>;

export interface Side {
  readonly nodeId: string;
  /** Of an interruption within the horizon. */
  readonly probability: number;
  readonly usdPerHour: number | undefined;
}

const dayMs = 86_400_000;

export function createWeigh({ policy, costs }: Weighing, settings: AssessSettings): Weigh {
  return async (db, { workloads, nodes }, nowMs) => {
    const subjects = new Map((await readSubjects(db, nowMs)).map((subject) => [subject.subject, subject]));
    const sideOf = (nodeId: string): Side => {
      const subject = subjects.get(`node/${nodeId}`);
      // Not a subject: an on-demand instance, which the market does not take.
      if (subject === undefined) return { nodeId, probability: 0, usdPerHour: undefined };
      const answer = assess(DEFAULT_HAZARD_MODEL, subject.evidence, settings);
      return {
        nodeId,
        probability: probabilityWithin({ horizons: answer.horizons }, policy.horizonSeconds),
        usdPerHour: subject.evidence.readings.spotUsdPerHour,
      };
    };
    const targets = nodes
      .filter((node) => node.isConnected && !node.isCordoned && node.announced === undefined)
      .map(({ id }) => sideOf(id));
    const past = await readMovesOfDay(db, nowMs);
    const weighed = new Map<string, Weighed>();
    for (const [nodeId, there] of workloads) {
      const here = sideOf(nodeId);
      const target = bestOf(targets.filter((each) => each.nodeId !== nodeId));
      for (const { name, memoryBytes } of there) {
        const moves = past.get(name) ?? [];
        const last = moves.at(-1);
        weighed.set(
          name,
          weighOne(
            here,
            target,
            { ...costs, transferGb: memoryBytes / 1e9 },
            last === undefined ? undefined : (nowMs - last) / 1000,
            moves.length,
          ),
        );
      }
    }
    return weighed;
  };

  function weighOne(
    here: Side,
    target: Side | undefined,
    moveCosts: MoveCosts,
    sinceLastMoveSeconds: number | undefined,
    movesLastDay: number,
  ): Weighed {
    const isPriced = here.usdPerHour !== undefined && (target === undefined || target.usdPerHour !== undefined);
    const priced = ({ probability, usdPerHour }: Side) => ({ probability, usdPerHour: isPriced ? (usdPerHour ?? 0) : 0 });
    const decision = decideMove(
      { here: priced(here), target: target && priced(target), costs: moveCosts, hasNotice: false, sinceLastMoveSeconds, movesLastDay },
      policy,
    );
    const sides = { modelVersion: DEFAULT_HAZARD_MODEL.version, horizonSeconds: policy.horizonSeconds, here, target };
    return { ...decision, sides, ...(isPriced ? {} : { reason: `${decision.reason}; no prices are known` }) };
  }

  /** Least risk and rent over the horizon. The planner may choose another for room or load; this is the question whether there is a better place. */
  function bestOf(sides: readonly Side[]): Side | undefined {
    const loss = costs.lossUsd + costs.lossDowntimeSeconds * costs.downtimeUsdPerSecond;
    const usd = ({ probability, usdPerHour }: Side): number => probability * loss + ((usdPerHour ?? 0) * policy.horizonSeconds) / 3600;
    return sides.reduce<Side | undefined>((best, side) => (best === undefined || usd(side) < usd(best) ? side : best), undefined);
  }
}

/** When each workload's moves of the last day ended, oldest first, ms. */
async function readMovesOfDay(db: Kysely<Database>, nowMs: number): Promise<Map<string, number[]>> {
  const rows = await db
    .selectFrom("migrations")
    .select(["workload", "ended_at"])
    .where("state", "=", "done")
    .where("ended_at", ">", new Date(nowMs - dayMs))
    .orderBy("ended_at")
    .execute();
  const found = new Map<string, number[]>();
  for (const { workload, ended_at } of rows)
    if (ended_at !== null) found.set(workload, [...(found.get(workload) ?? []), ended_at.getTime()]);
  return found;
}
