// What the fleet, each workload and each pool cost over a time, and what on-demand would have cost: hours in which something ran, at the price
// in force. A node's cost is shared by the workloads on it at that moment, equally; both nodes of a move are billed while both run. Hours
// without a known price are not priced, and are said.
import { type Saving, SavingSchema } from "@aether/contract/gen/aether/v2/price_pb";
import { type PriceStep, priceAt } from "@aether/risk";
import { create } from "@bufbuild/protobuf";

/** A time in which something ran, ms. */
export interface Interval {
  readonly fromMs: number;
  readonly toMs: number;
}

export interface NodeRun extends Interval {
  readonly nodeId: string;
  /** pool/…; empty where the node's cloud is not known. */
  readonly pool: string;
  readonly isSpot: boolean;
}

export interface WorkloadRun extends Interval {
  readonly workload: string;
  readonly nodeId: string;
}

export interface PoolPrices {
  readonly spot: readonly PriceStep[];
  readonly onDemandUsdPerHour: number | undefined;
}

export interface SavingsInput {
  readonly nodes: readonly NodeRun[];
  readonly workloads: readonly WorkloadRun[];
  /** Of workload/NAME: its moves, and how long it stood still in them, ms. */
  readonly moves: ReadonlyMap<string, { readonly count: number; readonly frozenMs: number }>;
  prices(pool: string): PoolPrices;
}

export interface Savings {
  readonly fleet: Saving;
  readonly workloads: Saving[];
  readonly pools: Saving[];
  readonly nodes: Saving[];
}

const hourMs = 3_600_000;

export function countSavings({ nodes, workloads, moves, prices }: SavingsInput): Savings {
  const fleet = new Tally("fleet");
  const byPool = new Map<string, Tally>();
  const byWorkload = new Map<string, Tally>();
  const byNode = new Map<string, Tally>();
  const tallyOf = (tallies: Map<string, Tally>, subject: string): Tally => {
    const found = tallies.get(subject) ?? new Tally(subject);
    tallies.set(subject, found);
    return found;
  };
  for (const node of nodes) {
    const known = prices(node.pool);
    const there = workloads.filter((run) => run.nodeId === node.nodeId && run.toMs > node.fromMs && run.fromMs < node.toMs);
    // Between two cuts the price and the workloads on the node stay the same.
    const cuts = [node.fromMs, node.toMs, ...known.spot.map(({ atMs }) => atMs), ...there.flatMap((run) => [run.fromMs, run.toMs])];
    const sorted = [...new Set(cuts.filter((at) => at >= node.fromMs && at <= node.toMs))].sort((a, b) => a - b);
    for (const [i, fromMs] of sorted.entries()) {
      const toMs = sorted[i + 1];
      if (toMs === undefined) break;
      const hours = (toMs - fromMs) / hourMs;
      const spent = node.isSpot ? priceAt(known.spot, fromMs) : known.onDemandUsdPerHour;
      const cost = { hours, usdPerHour: spent, onDemandUsdPerHour: known.onDemandUsdPerHour, pool: node.pool, isSpot: node.isSpot };
      fleet.add(cost, 1);
      tallyOf(byNode, `node/${node.nodeId}`).add(cost, 1);
      if (node.pool !== "") tallyOf(byPool, node.pool).add(cost, 1);
      const here = there.filter((run) => run.fromMs <= fromMs && run.toMs >= toMs);
      for (const run of here) tallyOf(byWorkload, `workload/${run.workload}`).add(cost, 1 / here.length);
    }
  }
  const list = (tallies: Map<string, Tally>): Saving[] =>
    [...tallies.values()].map((tally) => tally.message(moves.get(tally.subject))).sort((a, b) => (a.subject < b.subject ? -1 : 1));
  const all = [...moves.values()];
  const sum = {
    count: all.reduce((total, each) => total + each.count, 0),
    frozenMs: all.reduce((total, each) => total + each.frozenMs, 0),
  };
  return { fleet: fleet.message(sum), workloads: list(byWorkload), pools: list(byPool), nodes: list(byNode) };
}

interface Cost {
  readonly hours: number;
  readonly usdPerHour: number | undefined;
  readonly onDemandUsdPerHour: number | undefined;
  readonly pool: string;
  readonly isSpot: boolean;
}

class Tally {
  readonly subject: string;
  #hours = 0;
  #pricedHours = 0;
  #spent = 0;
  #onDemand = 0;
  readonly #unknown = new Map<string, number>();
  constructor(subject: string) {
    this.subject = subject;
  }

  /** @param share of the node's cost that is this subject's; hours are counted whole. */
  add({ hours, usdPerHour, onDemandUsdPerHour, pool, isSpot }: Cost, share: number): void {
    this.#hours += hours;
    if (usdPerHour === undefined || onDemandUsdPerHour === undefined) {
      const what =
        pool === ""
          ? "the node did not say its region, zone and type"
          : usdPerHour === undefined && isSpot
            ? `no spot price of ${pool}`
            : `no on-demand price of ${pool}`;
      this.#unknown.set(what, (this.#unknown.get(what) ?? 0) + hours);
      return;
    }
    this.#pricedHours += hours;
    this.#spent += hours * share * usdPerHour;
    this.#onDemand += hours * share * onDemandUsdPerHour;
  }

  message(moves: { readonly count: number; readonly frozenMs: number } = { count: 0, frozenMs: 0 }): Saving {
    const cents = (usd: number): number => Math.round(usd * 1e6) / 1e6;
    const sums =
      this.#pricedHours > 0
        ? { spentUsd: cents(this.#spent), onDemandUsd: cents(this.#onDemand), savedUsd: cents(this.#onDemand - this.#spent) }
        : {};
    return create(SavingSchema, {
      subject: this.subject,
      runningHours: this.#hours,
      pricedHours: this.#pricedHours,
      ...sums,
      migrations: moves.count,
      frozenMs: moves.frozenMs,
      unknown: [...this.#unknown]
        .map(([what, hours]) => `${what} for ${hours < 1 ? `${Math.max(1, Math.round(hours * 60))} min` : `${hours.toFixed(1)} h`}`)
        .sort(),
    });
  }
}
