// What is known now of each node and pool, as the evidence that the model reads, each input with its value in words and its source. Signals
// that a drill has announced do not count as interruptions of the pool: nobody lost an instance.
import { type RiskInput, RiskInputSchema } from "@aether/contract/gen/aether/v2/risk_pb";
import { type Evidence, type PoolKey, type PoolReadings, type PriceBook, priceAt } from "@aether/risk";
import { create } from "@bufbuild/protobuf";
import type { Kysely } from "kysely";
import type { Database } from "../db/schema.ts";
import { readFacts } from "../fleet/facts-cache.ts";
import { isSpot, poolName, poolOf } from "../prices/pool.ts";
import { freshPrice, type PriceTables, readPriceBook } from "../prices/store.ts";
import { capacityShare, type NodeSpan } from "./capacity.ts";
import { type Loss, readLosses } from "./losses.ts";

export interface RiskSubject {
  /** node/ID or pool/… */
  readonly subject: string;
  readonly pool: PoolKey | undefined;
  readonly evidence: Evidence;
  readonly inputs: readonly RiskInput[];
}

const hourMs = 3_600_000;
const dayMs = 24 * hourMs;

/** Every node, and every pool that has one. On-demand instances are left out: the spot market does not take them. */
export async function readSubjects(db: Kysely<Database>, nowMs: number): Promise<RiskSubject[]> {
  const [nodes, losses, lastSignals, incidents, book] = await Promise.all([
    db
      .selectFrom("nodes")
      .select(["id", "facts_hash", "registered_at", "seen_at", "lost_at", "is_cordoned", "interruption_at"])
      .orderBy("id")
      .execute(),
    readLosses(db, nowMs - dayMs),
    db
      .selectFrom("signals")
      .distinctOn("node_id")
      .select(["node_id", "kind", "received_at"])
      .where("kind", "in", ["notice", "rebalance", "withdrawn"])
      .orderBy("node_id")
      .orderBy("received_at", "desc")
      .orderBy("id", "desc")
      .execute(),
    db
      .selectFrom("incidents")
      .distinctOn("region")
      .selectAll()
      .where("is_resolved", "=", false)
      .orderBy("region")
      .orderBy("last_word_at", "desc")
      .execute(),
    readPriceBook(db, nowMs, nowMs - dayMs),
  ]);
  const signalOf = new Map(lastSignals.map((row) => [row.node_id, row]));
  const incidentOf = new Map(incidents.map((row) => [row.region, row]));
  const factsOf = await readFacts(
    db,
    nodes.map((node) => node.facts_hash),
  );
  const spotNodes = nodes.flatMap((row) => {
    const facts = factsOf(row.facts_hash);
    return facts !== undefined && isSpot(facts) ? [{ row, pool: poolOf(facts) }] : [];
  });
  const poolByNode = new Map(spotNodes.flatMap(({ row, pool }) => (pool ? [[row.id, pool] as const] : [])));
  const pools = new Map([...poolByNode.values()].map((pool) => [poolName(pool), pool]));
  const lossesOf = countLosses(losses, poolByNode, nowMs);
  const spansOf = new Map<string, NodeSpan[]>();
  for (const { row, pool } of spotNodes) {
    if (pool === undefined) continue;
    const spans = spansOf.get(poolName(pool)) ?? [];
    const toMs = row.lost_at === null ? nowMs : (row.seen_at ?? row.lost_at).getTime();
    spans.push({ fromMs: row.registered_at.getTime(), toMs, isPlanned: row.is_cordoned });
    spansOf.set(poolName(pool), spans);
  }
  const ofPool = (pool: PoolKey): RiskSubject => {
    const facts = createFacts();
    readPool(facts, pool, book, lossesOf, nowMs);
    const share = capacityShare(spansOf.get(poolName(pool)) ?? [], nowMs);
    if (share !== undefined) {
      facts.readings.shareLastDay = share;
      facts.say("share-last-day", `${(100 * share).toFixed(1)} % of the day with an instance`, "registrations and silences of its nodes");
    }
    const incident = incidentOf.get(pool.region);
    if (incident) {
      facts.evidence.incident = { ageSeconds: Math.max(0, nowMs - incident.last_word_at.getTime()) / 1000 };
      facts.say("incident", incident.title.slice(0, 120), `feed ${incident.feed}, ${incident.last_word_at.toISOString()}`);
    }
    return { subject: poolName(pool), pool, ...facts.done() };
  };
  const byPool = new Map([...pools].map(([name, pool]) => [name, ofPool(pool)]));
  const ofNode = ({ row, pool }: (typeof spotNodes)[number]): RiskSubject => {
    const base = pool && byPool.get(poolName(pool));
    const facts = createFacts(base);
    const ageHours = (nowMs - row.registered_at.getTime()) / hourMs;
    facts.readings.ageHours = ageHours;
    facts.say("age", `${ageHours.toFixed(1)} h`, "registration");
    if (base === undefined) readClock(facts, nowMs);
    if (row.interruption_at !== null) {
      facts.evidence.notice = { secondsLeft: (row.interruption_at.getTime() - nowMs) / 1000 };
      facts.say("notice", `gone at ${row.interruption_at.toISOString()}`, "signals");
    }
    const last = signalOf.get(row.id);
    if (last?.kind === "rebalance") {
      facts.evidence.rebalance = { ageSeconds: Math.max(0, nowMs - last.received_at.getTime()) / 1000 };
      facts.say("rebalance", `since ${last.received_at.toISOString()}`, "signals");
    }
    return { subject: `node/${row.id}`, pool, ...facts.done() };
  };
  return [...spotNodes.map(ofNode), ...byPool.values()];
}

type Mutable<T> = { -readonly [Key in keyof T]: T[Key] };

function createFacts(base?: Pick<RiskSubject, "evidence" | "inputs">) {
  const readings: Mutable<PoolReadings> = { ...base?.evidence.readings };
  const evidence: Mutable<Evidence> = { ...base?.evidence, readings };
  const inputs: RiskInput[] = [...(base?.inputs ?? [])];
  return {
    readings,
    evidence,
    say(name: string, value: string, source: string): void {
      inputs.push(create(RiskInputSchema, { name, value, source }));
    },
    done: () => ({ evidence: evidence as Evidence, inputs: inputs as readonly RiskInput[] }),
  };
}
type Facts = ReturnType<typeof createFacts>;

function readClock(facts: Facts, nowMs: number): void {
  facts.readings.hourOfDay = (nowMs % dayMs) / hourMs;
}

function readPool(facts: Facts, pool: PoolKey, book: PriceTables, lossesOf: LossCounts, nowMs: number): void {
  const { readings, say } = facts;
  readClock(facts, nowMs);
  const { lastHour, lastDay, neighboursLastHour } = lossesOf(pool);
  readings.lossesLastHour = lastHour;
  readings.lossesLastDay = lastDay;
  say("losses-last-hour", String(lastHour), "signals");
  say("losses-last-day", String(lastDay), "signals");
  if (neighboursLastHour !== undefined) {
    readings.neighbourLossesLastHour = neighboursLastHour;
    say("neighbour-losses", neighboursLastHour.toFixed(2), "signals");
  }
  const source = book.spotSource(pool);
  const price = freshPrice(book, pool, nowMs);
  if (price !== undefined && source !== undefined) {
    const from = `${source.source} ${source.fetchedAt.toISOString()}`;
    readings.spotUsdPerHour = price;
    say("spot-price", `${price} USD/h`, from);
    const day = measureDay(book, pool, price, nowMs);
    if (day !== undefined) {
      readings.priceTrendLastDay = day.trend;
      readings.priceVolatilityLastDay = day.volatility;
      say("price-trend", `${(100 * day.trend).toFixed(1)} % in a day`, from);
      say("price-volatility", `${(100 * day.volatility).toFixed(1)} % of the mean`, from);
    }
  }
  const onDemand = book.onDemand(pool);
  if (onDemand) {
    readings.onDemandUsdPerHour = onDemand.value;
    say("on-demand-price", `${onDemand.value} USD/h`, `${onDemand.source} ${onDemand.fetchedAt.toISOString()}`);
  }
  const score = book.placementScore(pool);
  if (score) {
    facts.evidence.placementScore = score.value;
    say("placement-score", `${score.value} of 10`, `${score.source} ${score.fetchedAt.toISOString()}`);
  }
  const band = book.advisorBand(pool);
  if (band) {
    facts.evidence.advisorBand = band.value;
    say(
      "advisor-band",
      ["<5 %", "5-10 %", "10-15 %", "15-20 %", ">20 %"][band.value] ?? "",
      `${band.source} ${band.fetchedAt.toISOString()}`,
    );
  }
}

/** Trend and relative volatility over the last day, from hourly samples of the price in force; undefined with less than a day of prices. */
function measureDay(book: PriceBook, pool: PoolKey, price: number, nowMs: number): { trend: number; volatility: number } | undefined {
  const steps = book.spot(pool);
  const samples: number[] = [];
  for (let hour = 24; hour >= 0; hour--) {
    const sample = priceAt(steps, nowMs - hour * hourMs);
    if (sample === undefined) return undefined;
    samples.push(sample);
  }
  const mean = samples.reduce((sum, x) => sum + x, 0) / samples.length;
  const first = samples[0] ?? 0;
  if (mean <= 0 || first <= 0) return undefined;
  const variance = samples.reduce((sum, x) => sum + (x - mean) ** 2, 0) / samples.length;
  return { trend: price / first - 1, volatility: Math.sqrt(variance) / mean };
}

type LossCounts = (pool: PoolKey) => {
  readonly lastHour: number;
  readonly lastDay: number;
  /** Per neighbouring pool; undefined where there is none. */
  readonly neighboursLastHour: number | undefined;
};

function countLosses(losses: readonly Loss[], poolByNode: ReadonlyMap<string, PoolKey>, nowMs: number): LossCounts {
  const pools = new Set([...poolByNode.values()].map(poolName));
  const lastDay = new Map<string, number>();
  const lastHour = new Map<string, number>();
  const add = (counts: Map<string, number>, name: string) => counts.set(name, (counts.get(name) ?? 0) + 1);
  for (const loss of losses) {
    const pool = poolByNode.get(loss.nodeId);
    if (pool === undefined) continue;
    add(lastDay, poolName(pool));
    if (nowMs - loss.atMs <= hourMs) add(lastHour, poolName(pool));
  }
  return (pool) => {
    const name = poolName(pool);
    const neighbours = [...pools].filter((other) => other !== name);
    const sum = neighbours.reduce((total, other) => total + (lastHour.get(other) ?? 0), 0);
    return {
      lastHour: lastHour.get(name) ?? 0,
      lastDay: lastDay.get(name) ?? 0,
      neighboursLastHour: neighbours.length === 0 ? undefined : sum / neighbours.length,
    };
  };
}
