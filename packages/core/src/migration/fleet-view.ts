// The fleet as the planner sees it, read in one go: nodes with what is announced for them, how likely the market takes each and what it costs as its newest
// assessment has it, and what is already on its way to each.
import { VolumeMode, type WorkloadSpec, WorkloadSpecSchema, WorkloadUsageSchema } from "@aether/contract/gen/aether/v2/workload_pb";
import type { JsonValue } from "@bufbuild/protobuf";
import { type Kysely, sql } from "kysely";
import { fromColumn, fromColumnOrNone } from "../db/proto.ts";
import type { Database } from "../db/schema.ts";
import { readFacts } from "../fleet/facts-cache.ts";
import { isSpot } from "../prices/pool.ts";
import { readOnDemandPrices } from "../prices/store.ts";
import type { NodeView } from "./plan.ts";

/** Memory that a workload needs on a target: as measured, or its limit where nothing was measured yet. */
export function memoryOf(spec: JsonValue, usage: JsonValue | null): number {
  const measured = Number(fromColumnOrNone(WorkloadUsageSchema, usage)?.memoryBytes ?? 0n);
  return measured > 0 ? measured : Number(fromColumn(WorkloadSpecSchema, spec).memoryLimitBytes);
}

/** Is some of its storage the same on every node that reaches it? */
export const hasSharedVolume = ({ volumes }: Pick<WorkloadSpec, "volumes">): boolean =>
  volumes.some(({ mode }) => mode === VolumeMode.SHARED);

/** @param isConnected of the sessions: the row only knows when the node was last heard. */
export async function readNodeViews(db: Kysely<Database>, isConnected: (nodeId: string) => boolean): Promise<NodeView[]> {
  const nodes = await db
    .selectFrom("nodes")
    .leftJoin("assessments", (join) => join.on("assessments.subject", "=", sql<string>`'node/' || nodes.id`))
    .select(["nodes.id", "is_cordoned", "interruption_at", "facts_hash", "assessments.probability", "assessments.usd_per_hour"])
    // As ProtoJSON writes them; the whole of ten thousand usages is not read for two numbers.
    .select([
      sql<number | null>`(usage->>'memoryAvailableBytes')::float8`.as("available"),
      sql<number | null>`(usage->>'cpuFraction')::float8`.as("cpu"),
    ])
    .orderBy("nodes.id")
    .execute();
  const factsOf = await readFacts(
    db,
    nodes.map((node) => node.facts_hash),
  );
  const factsInUse = nodes.map((node) => factsOf(node.facts_hash));
  const signals = await db
    .selectFrom("signals")
    .distinctOn("node_id")
    .select(["node_id", "kind"])
    .where((eb) => eb.or([eb("kind", "=", "rebalance"), eb.and([eb("kind", "=", "withdrawn"), eb("action", "=", "rebalance")])]))
    .where("received_at", ">", sql<Date>`now() - interval '7 days'`)
    .orderBy("node_id")
    .orderBy("received_at", "desc")
    .orderBy("id", "desc")
    .execute();
  const placed = await db
    .selectFrom("placements")
    .select(({ fn }) => ["node_id", fn.countAll().as("count")])
    .where("is_active", "=", true)
    .groupBy("node_id")
    .execute();
  const incoming = await db
    .selectFrom("migrations")
    .innerJoin("workloads", "workloads.name", "migrations.workload")
    .select(["migrations.target_node_id", "workloads.spec", "workloads.usage"])
    .where("migrations.ended_at", "is", null)
    .execute();
  const onDemandPrice = factsInUse.some((facts) => facts !== undefined && !isSpot(facts)) ? await readOnDemandPrices(db) : () => undefined;
  const shortages = await db.selectFrom("pool_shortages").select("pool").where("until", ">", sql<Date>`now()`).execute();
  const short = new Set(shortages.map(({ pool }) => pool));
  const lastSignal = new Map(signals.map((row) => [row.node_id, row.kind]));
  const counts = new Map(placed.map((row) => [row.node_id, Number(row.count)]));
  const coming = new Map<string, { bytes: number; count: number }>();
  for (const row of incoming) {
    const before = coming.get(row.target_node_id) ?? { bytes: 0, count: 0 };
    coming.set(row.target_node_id, { bytes: before.bytes + memoryOf(row.spec, row.usage), count: before.count + 1 });
  }
  return nodes.map((node, i) => {
    const facts = factsInUse[i];
    // The spot market does not take an on-demand instance: nobody assesses it, and it costs what the list says.
    const isOnDemand = facts !== undefined && !isSpot(facts);
    const usdPerHour = isOnDemand ? onDemandPrice(facts) : (node.usd_per_hour ?? undefined);
    const riskPerHour = isOnDemand ? 0 : (node.probability ?? undefined);
    const memoryBytes = Number(facts?.memoryBytes ?? 0n);
    const promised = coming.get(node.id);
    const kind = lastSignal.get(node.id);
    return {
      id: node.id,
      isConnected: isConnected(node.id),
      isCordoned: node.is_cordoned,
      announced: node.interruption_at !== null ? "notice" : kind === "rebalance" ? "rebalance" : undefined,
      capabilities: facts?.capabilities,
      memoryBytes,
      memoryAvailableBytes: (node.available || memoryBytes) - (promised?.bytes ?? 0),
      cpuFraction: node.cpu ?? 0,
      workloadCount: (counts.get(node.id) ?? 0) + (promised?.count ?? 0),
      instanceType: facts?.cloud?.instanceType ?? "",
      zone: facts?.cloud?.zone ?? "",
      ...(riskPerHour === undefined ? {} : { riskPerHour }),
      ...(usdPerHour === undefined ? {} : { usdPerHour }),
      ...(short.has(`${facts?.cloud?.instanceType}/${facts?.cloud?.zone}`) ? { isPoolShort: true } : {}),
    };
  });
}
