// What a move policy would have done over the recorded history: ticks of ten minutes made of kept assessments, real notices and prices. The
// policy sees at each tick what was known then.
import { fault } from "@aether/contract";
import { NodeFactsSchema } from "@aether/contract/gen/aether/v2/node_pb";
import {
  AssessmentSchema,
  type ReplayPolicyRequest,
  type ReplayPolicyResponse,
  ReplayPolicyResponseSchema,
} from "@aether/contract/gen/aether/v2/risk_pb";
import { type MoveCosts, type MovePolicy, type PoolTick, priceAt, probabilityWithin, replay } from "@aether/risk";
import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { Db } from "../db/database.ts";
import { fromColumn } from "../db/proto.ts";
import { parsePoolName, poolName, poolOf } from "../prices/pool.ts";
import { readPriceBook } from "../prices/store.ts";
import { readLosses } from "./losses.ts";

const tickMs = 600_000;
const mostTicks = 100_000;

export interface ReplayParts {
  readonly db: Db;
  readonly policy: MovePolicy;
  readonly costs: MoveCosts;
}

/** Throws INVALID_ARGUMENT. */
export async function replayPolicy(
  { db, policy: inForce, costs }: ReplayParts,
  request: ReplayPolicyRequest,
  nowMs: number,
): Promise<ReplayPolicyResponse> {
  const policy = policyOf(request, inForce);
  if (request.hours < 0 || request.hours > 24 * 365)
    throw fault("INVALID_ARGUMENT", `hours is 0 to ${24 * 365}, not ${request.hours}`, { field: "hours" });
  let query = db
    .selectFrom("assessment_history")
    .select(["subject", "at", "body"])
    .where("subject", "like", "pool/%")
    .orderBy("at")
    .limit(mostTicks);
  if (request.hours > 0) query = query.where("at", ">=", new Date(nowMs - request.hours * 3_600_000));
  const rows = await query.execute();
  const first = rows[0]?.at.getTime();
  if (first === undefined)
    return create(ReplayPolicyResponseSchema, { summary: "nothing is recorded yet: assessments are kept from the first spot node on" });
  const pools = [...new Set(rows.map((row) => row.subject))].sort();
  const keys = pools.map((pool) => parsePoolName(pool, "pool"));
  const [book, losses, nodes] = await Promise.all([
    readPriceBook(db, nowMs, first),
    readLosses(db, first),
    db.selectFrom("nodes").select(["id", "facts"]).execute(),
  ]);
  const poolOfNode = new Map(
    nodes.flatMap((row) => {
      const pool = poolOf(fromColumn(NodeFactsSchema, row.facts));
      return pool ? [[row.id, poolName(pool)] as const] : [];
    }),
  );
  const lost = new Set(losses.map((loss) => `${poolOfNode.get(loss.nodeId)} ${Math.floor(loss.atMs / tickMs)}`));
  const firstTick = Math.floor(first / tickMs);
  const lastTick = Math.floor(nowMs / tickMs);
  const probabilities = new Map(
    rows.map((row) => [
      `${row.subject} ${Math.floor(row.at.getTime() / tickMs)}`,
      probabilityWithin(fromColumn(AssessmentSchema, row.body), policy.horizonSeconds),
    ]),
  );
  const known = new Map<string, { probability: number; tick: number }>();
  const ticks: PoolTick[][] = [];
  for (let tick = firstTick; tick <= lastTick; tick++) {
    ticks.push(
      pools.map((pool, i): PoolTick => {
        const probability = probabilities.get(`${pool} ${tick}`);
        if (probability !== undefined) known.set(pool, { probability, tick });
        const last = known.get(pool);
        const key = keys[i];
        return {
          // Assessed within the last half hour: the pool had a node; and that node was not lost just then.
          isAvailable: last !== undefined && tick - last.tick <= 3 && !lost.has(`${pool} ${tick}`),
          usdPerHour: (key && priceAt(book.spot(key), tick * tickMs)) ?? 0,
          probability: last?.probability ?? 0,
        };
      }),
    );
  }
  const report = replay({ tickSeconds: tickMs / 1000, pools, ticks }, costs, policy);
  const path = ({ moves, losses: count, instanceUsd, moveUsd, lossUsd }: typeof report.policy) => ({
    moves,
    losses: count,
    instanceUsd,
    moveUsd,
    lossUsd,
  });
  return create(ReplayPolicyResponseSchema, {
    summary: report.summary,
    withPolicy: path(report.policy),
    sittingStill: path(report.still),
    savedLosses: report.savedLosses,
    extraUsd: report.extraUsd,
    ticks: ticks.length,
    pools,
    from: timestampFromMs(firstTick * tickMs),
    to: timestampFromMs(nowMs),
    unknown: pools
      .filter((_, i) => {
        const key = keys[i];
        return key === undefined || book.spot(key).length === 0;
      })
      .map((pool) => `no spot price of ${pool} is known: its instances are counted as costing nothing`),
  });
}

function policyOf({ policy }: ReplayPolicyRequest, inForce: MovePolicy): MovePolicy {
  const within = (field: string, value: number | undefined, least: number, most: number): number | undefined => {
    if (value !== undefined && !(value >= least && value <= most))
      throw fault("INVALID_ARGUMENT", `policy.${field} is ${least} to ${most}, not ${value}`, { field: `policy.${field}` });
    return value;
  };
  return {
    horizonSeconds: within("horizon_seconds", policy?.horizonSeconds, 120, 86_400) ?? inForce.horizonSeconds,
    moveAboveRatio: within("move_above_ratio", policy?.moveAboveRatio, 1, 100) ?? inForce.moveAboveRatio,
    restSeconds: within("rest_seconds", policy?.restSeconds, 0, 604_800) ?? inForce.restSeconds,
    mostMovesPerDay: within("most_moves_per_day", policy?.mostMovesPerDay, 0, 1_000) ?? inForce.mostMovesPerDay,
  };
}
