// PriceService: pools with what is known of them, price history, and savings.
import { fault } from "@aether/contract";
import { NodeFactsSchema } from "@aether/contract/gen/aether/v2/node_pb";
import { PriceService, type PriceSource, PriceSourceSchema } from "@aether/contract/gen/aether/v2/price_pb";
import type { PoolKey } from "@aether/risk";
import { create } from "@bufbuild/protobuf";
import { timestampFromDate, timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { ConnectRouter } from "@connectrpc/connect";
import type { Db } from "../db/database.ts";
import { fromColumn, stamp } from "../db/proto.ts";
import { fetchState } from "../fetch/fetches.ts";
import { readLosses } from "../risk/losses.ts";
import { readBlackout } from "./blackout.ts";
import { isSpot, parsePoolName, poolName, poolOf } from "./pool.ts";
import { countSavings, type NodeRun } from "./savings.ts";
import { freshPrice, type PriceTables, readPriceBook } from "./store.ts";

export interface PriceServiceOptions {
  readonly db: Db;
  readonly nowMs: () => number;
}

const hourMs = 3_600_000;
const dayMs = 24 * hourMs;
const longestHours = 24 * 400;

export function priceRoutes({ db, nowMs }: PriceServiceOptions): (router: ConnectRouter) => void {
  return (router) =>
    router.service(PriceService, {
      async listPools() {
        const [book, nodes, rows] = await Promise.all([
          readPriceBook(db, nowMs(), nowMs() - dayMs),
          db.selectFrom("nodes").select(["id", "facts"]).orderBy("id").execute(),
          db.selectFrom("fetches").selectAll().where("kind", "=", "price").orderBy("name").execute(),
        ]);
        const pools = new Map<string, { key: PoolKey; nodes: string[] }>();
        for (const key of book.pools) pools.set(poolName(key), { key, nodes: [] });
        for (const node of nodes) {
          const key = poolOf(fromColumn(NodeFactsSchema, node.facts));
          if (key === undefined) continue;
          const pool = pools.get(poolName(key)) ?? { key, nodes: [] };
          pool.nodes.push(node.id);
          pools.set(poolName(key), pool);
        }
        return {
          pools: [...pools]
            .sort(([a], [b]) => (a < b ? -1 : 1))
            .map(([name, pool]) => ({ name, ...pool.key, nodes: pool.nodes, ...known(book, pool.key, nowMs()) })),
          fetches: rows.map((row) => ({
            name: row.name,
            origin: row.origin,
            state: fetchState(row),
            ...stamp("lastSuccessAt", row.last_success_at),
            ...stamp("nextTryAt", row.next_try_at),
            failuresInARow: row.failures_in_a_row,
            error: row.error,
            rows: row.row_count,
          })),
        };
      },
      async getPriceHistory({ pool, hours }) {
        const key = parsePoolName(pool, "pool");
        const sinceMs = nowMs() - hoursOf(hours, 24) * hourMs;
        const [book, losses] = await Promise.all([readPriceBook(db, nowMs(), sinceMs, key), readLossesOf(db, key, sinceMs)]);
        const onDemand = book.onDemand(key);
        return {
          points: book
            .spot(key)
            .map(({ atMs, usdPerHour }) => ({ at: timestampFromMs(Math.max(atMs, sinceMs)), spotUsdPerHour: usdPerHour })),
          ...(onDemand === undefined ? {} : { onDemandUsdPerHour: onDemand.value }),
          sources: sourcesOf(book, [key]),
          losses: losses.map(timestampFromMs),
        };
      },
      async getSavings({ hours }) {
        const toMs = nowMs();
        const fromMs = toMs - hoursOf(hours, 720) * hourMs;
        const [book, nodes, workloads, { blackout, moves }] = await Promise.all([
          readPriceBook(db, toMs, fromMs),
          readNodeRuns(db, fromMs, toMs),
          db
            .selectFrom("placements")
            .select(["workload", "node_id", "created_at", "ended_at"])
            .where(({ or, eb }) => or([eb("ended_at", "is", null), eb("ended_at", ">", new Date(fromMs))]))
            .execute(),
          readBlackout(db, fromMs),
        ]);
        const keys = new Map(nodes.flatMap(({ pool }) => (pool === "" ? [] : [[pool, parsePoolName(pool, "pool")] as const])));
        const savings = countSavings({
          nodes,
          workloads: workloads.map((row) => ({
            workload: row.workload,
            nodeId: row.node_id,
            fromMs: Math.max(fromMs, row.created_at.getTime()),
            toMs: row.ended_at?.getTime() ?? toMs,
          })),
          moves,
          prices(pool) {
            const key = keys.get(pool);
            return key === undefined
              ? { spot: [], onDemandUsdPerHour: undefined }
              : { spot: book.spot(key), onDemandUsdPerHour: book.onDemand(key)?.value };
          },
        });
        return {
          from: timestampFromMs(fromMs),
          to: timestampFromMs(toMs),
          ...savings,
          blackout,
          sources: sourcesOf(book, [...keys.values()]),
        };
      },
    });
}

/** When instances of a pool were lost, ms. */
async function readLossesOf(db: Db, pool: PoolKey, sinceMs: number): Promise<number[]> {
  const losses = await readLosses(db, sinceMs);
  if (losses.length === 0) return [];
  const ids = [...new Set(losses.map(({ nodeId }) => nodeId))];
  const nodes = await db.selectFrom("nodes").select(["id", "facts"]).where("id", "in", ids).execute();
  const isThere = (key: PoolKey | undefined): boolean => key !== undefined && poolName(key) === poolName(pool);
  const members = new Set(nodes.filter((row) => isThere(poolOf(fromColumn(NodeFactsSchema, row.facts)))).map((row) => row.id));
  return losses.filter(({ nodeId }) => members.has(nodeId)).map(({ atMs }) => atMs);
}

/** From a node's registration to now, or to when it was last heard. */
async function readNodeRuns(db: Db, fromMs: number, toMs: number): Promise<NodeRun[]> {
  const rows = await db.selectFrom("nodes").select(["id", "facts", "registered_at", "seen_at", "lost_at"]).execute();
  return rows.flatMap((row): NodeRun[] => {
    const facts = fromColumn(NodeFactsSchema, row.facts);
    const key = poolOf(facts);
    const ended = row.lost_at === null ? toMs : (row.seen_at ?? row.lost_at).getTime();
    const run = { fromMs: Math.max(fromMs, row.registered_at.getTime()), toMs: Math.min(toMs, ended) };
    return run.toMs > run.fromMs ? [{ nodeId: row.id, pool: key === undefined ? "" : poolName(key), isSpot: isSpot(facts), ...run }] : [];
  });
}

function known(book: PriceTables, key: PoolKey, atMs: number) {
  const spot = freshPrice(book, key, atMs);
  const onDemand = book.onDemand(key);
  const score = book.placementScore(key);
  const band = book.advisorBand(key);
  return {
    ...(spot === undefined ? {} : { spotUsdPerHour: spot }),
    ...(onDemand === undefined ? {} : { onDemandUsdPerHour: onDemand.value }),
    ...(score === undefined ? {} : { placementScore: score.value }),
    ...(band === undefined ? {} : { advisorBand: band.value }),
    sources: sourcesOf(book, [key]),
  };
}

function sourcesOf(book: PriceTables, keys: readonly PoolKey[]): PriceSource[] {
  const found = keys.flatMap((key) => [book.spotSource(key), book.onDemand(key), book.placementScore(key), book.advisorBand(key)]);
  const byName = new Map<string, PriceSource>();
  for (const each of found) {
    if (each === undefined) continue;
    const message = create(PriceSourceSchema, { name: each.source, origin: each.origin, fetchedAt: timestampFromDate(each.fetchedAt) });
    byName.set(`${each.source} ${each.origin}`, message);
  }
  return [...byName.values()];
}

function hoursOf(hours: number, fallback: number): number {
  if (hours < 0 || hours > longestHours) throw fault("INVALID_ARGUMENT", `hours is 0 to ${longestHours}, not ${hours}`, { field: "hours" });
  return hours === 0 ? fallback : hours;
}
