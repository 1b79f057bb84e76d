// Samples in the database: as they came, a row for each subject and writing; after an hour or so a row a subject and minute with their average.
// Nobody waits for a writing, and a crash loses a few seconds of telemetry and nothing else.
import {
  GetNodeTelemetryResponseSchema,
  GetWorkloadTelemetryResponseSchema,
  type NodeSample,
  NodeSampleSchema,
  type WorkloadSample,
  WorkloadSampleSchema,
} from "@aether/contract/gen/aether/v2/telemetry_pb";
import { create, fromBinary, type JsonValue, toBinary, toJson } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { type Kysely, sql } from "kysely";
import type { Db } from "../db/database.ts";
import { fromColumn } from "../db/proto.ts";
import type { Database } from "../db/schema.ts";
import { average } from "./average.ts";

const minuteMs = 60_000;
/** Rows in one statement: one should not hold the database for long. */
export const batch = 1_000;
/** No row has samples of a longer time, ms: as they are gathered in core, and as an agent that was slow to send them says. */
export const longestRowMs = 300_000;

/** Samples of one subject, encoded as they came. */
export interface Written {
  readonly nodeId: string;
  /** Undefined: of the node itself. */
  readonly workload: string | undefined;
  readonly fromMs: number;
  readonly count: number;
  /** By `encodeSamples`, oldest first. */
  readonly parts: readonly Uint8Array[];
}

type Some = { readonly nodes: readonly NodeSample[] } | { readonly workloads: readonly WorkloadSample[] };

/** What one writing after the other makes is one list. */
export const encodeSamples = (some: Some): Uint8Array =>
  "nodes" in some
    ? toBinary(GetNodeTelemetryResponseSchema, create(GetNodeTelemetryResponseSchema, { samples: [...some.nodes] }))
    : toBinary(GetWorkloadTelemetryResponseSchema, create(GetWorkloadTelemetryResponseSchema, { samples: [...some.workloads] }));

/** Of at most `batch` subjects. Answers how many samples were kept: those of workloads that are not placed on the node that says so are not. */
export async function writeSamples(db: Db, some: readonly Written[]): Promise<number> {
  // Names and base64 have no comma: five texts are several times cheaper to make and to read than a thousand rows of parameters.
  const list = (of: (each: Written) => string | number) => some.map(of).join(",");
  const { rows } = await sql<{ count: number }>`
    with said as (
      select * from unnest(
        string_to_array(${list(({ nodeId }) => nodeId)}, ','), string_to_array(${list(({ workload }) => workload ?? "")}, ',', ''),
        string_to_array(${list(({ fromMs }) => fromMs)}, ',')::float8[], string_to_array(${list(({ count }) => count)}, ',')::integer[],
        string_to_array(${list(({ parts }) => Buffer.concat(parts).toString("base64"))}, ',')
      ) as each(node_id, workload, from_ms, count, samples)
    ), believed as materialized (
      select * from said where workload is null
        or exists (select from placements p where p.workload = said.workload and p.node_id = said.node_id and p.is_active)
    ), kept as (
      insert into telemetry_samples (subject, from_at, samples)
      select coalesce('workload/' || workload, 'node/' || node_id), to_timestamp(from_ms / 1000), decode(samples, 'base64') from believed
      on conflict (subject, from_at) do update set samples = telemetry_samples.samples || excluded.samples
    )
    select coalesce(sum(count), 0)::integer as count from believed`.execute(db);
  return rows[0]?.count ?? 0;
}

export const readNodeSamples = (db: Db, nodeId: string, sinceMs: number): Promise<NodeSample[]> =>
  read(db, `node/${nodeId}`, sinceMs, nodeSamples);

export const readWorkloadSamples = (db: Db, workload: string, sinceMs: number): Promise<WorkloadSample[]> =>
  read(db, `workload/${workload}`, sinceMs, workloadSamples);

/** How a subject's samples stand in both tables. */
interface Form<Sample> {
  bytes(column: Uint8Array): readonly Sample[];
  json(column: JsonValue): readonly Sample[];
  mean(samples: readonly Sample[]): JsonValue;
}
const listOf = (column: JsonValue): JsonValue[] => (Array.isArray(column) ? column : []);
const nodeSamples: Form<NodeSample> = {
  bytes: (column) => fromBinary(GetNodeTelemetryResponseSchema, column).samples,
  json: (column) => listOf(column).map((each) => fromColumn(NodeSampleSchema, each)),
  mean: (samples) => toJson(NodeSampleSchema, average(NodeSampleSchema, samples)),
};
const workloadSamples: Form<WorkloadSample> = {
  bytes: (column) => fromBinary(GetWorkloadTelemetryResponseSchema, column).samples,
  json: (column) => listOf(column).map((each) => fromColumn(WorkloadSampleSchema, each)),
  mean: (samples) => toJson(WorkloadSampleSchema, average(WorkloadSampleSchema, samples)),
};

/** Samples whose `at` is not before `sinceMs`, oldest first. */
async function read<Sample extends NodeSample | WorkloadSample>(
  db: Db,
  subject: string,
  sinceMs: number,
  form: Form<Sample>,
): Promise<Sample[]> {
  const minutes = await db
    .selectFrom("telemetry")
    .select("samples")
    .where("subject", "=", subject)
    .where("minute", ">=", new Date(sinceMs - minuteMs))
    .orderBy("minute")
    .execute();
  const fine = await db
    .selectFrom("telemetry_samples")
    .select("samples")
    .where("subject", "=", subject)
    .where("from_at", ">=", new Date(sinceMs - longestRowMs))
    .orderBy("from_at")
    .execute();
  return [...minutes.flatMap(({ samples }) => form.json(samples)), ...fine.flatMap(({ samples }) => form.bytes(samples))].filter(
    ({ at }) => at !== undefined && timestampMs(at) >= sinceMs,
  );
}

/** The newest samples of each of these workloads since then. */
export async function newestOfWorkloads(
  db: Kysely<Database>,
  workloads: readonly string[],
  sinceMs: number,
): Promise<Map<string, readonly WorkloadSample[]>> {
  if (workloads.length === 0) return new Map();
  const { rows } = await sql<{ workload: string; samples: Uint8Array }>`
    select workload, newest.samples from unnest(string_to_array(${workloads.join(",")}, ',')) as workload
    cross join lateral (
      select samples from telemetry_samples where subject = 'workload/' || workload and from_at > ${new Date(sinceMs)}
      order by from_at desc limit 1
    ) as newest`.execute(db);
  return new Map(rows.map(({ workload, samples }) => [workload, workloadSamples.bytes(samples)]));
}

/** Minutes that are over before `before` become one sample each. Returns how many rows of averages that made. */
export async function averageMinutes(db: Db, before: Date): Promise<number> {
  let count = 0;
  for (;;) {
    const made = await db.transaction().execute((tx) => averageSome(tx, before));
    if (made === 0) return count;
    count += made;
  }
}

/** Of the oldest minute, as many subjects as one statement should read. */
async function averageSome(tx: Kysely<Database>, before: Date): Promise<number> {
  const oldest = await tx.selectFrom("telemetry_samples").select("from_at").orderBy("from_at").limit(1).executeTakeFirst();
  const minute = Math.floor((oldest?.from_at.getTime() ?? Number.POSITIVE_INFINITY) / minuteMs) * minuteMs;
  if (minute + minuteMs > before.getTime()) return 0;
  const [from, to] = [new Date(minute), new Date(minute + minuteMs)];
  const { rows } = await sql<{ subject: string; samples: Uint8Array }>`
    select subject, string_agg(samples, ''::bytea order by from_at) as samples
    from telemetry_samples where from_at >= ${from} and from_at < ${to} group by subject order by subject limit ${batch}`.execute(tx);
  const averages = rows.flatMap(({ subject, samples }) => {
    const mean = meanOf(subject, samples);
    return mean === undefined ? [] : [{ subject, minute: from, samples: JSON.stringify([mean]) }];
  });
  if (averages.length > 0)
    await tx
      .insertInto("telemetry")
      .values(averages)
      .onConflict((conflict) => conflict.columns(["subject", "minute"]).doUpdateSet({ samples: sql<string>`excluded.samples` }))
      .execute();
  await sql`delete from telemetry_samples where from_at >= ${from} and from_at < ${to}
    and subject = any(string_to_array(${rows.map(({ subject }) => subject).join(",")}, ','))`.execute(tx);
  return rows.length;
}

function meanOf(subject: string, column: Uint8Array): JsonValue | undefined {
  try {
    return subject.startsWith("node/") ? nodeSamples.mean(nodeSamples.bytes(column)) : workloadSamples.mean(workloadSamples.bytes(column));
  } catch {
    return undefined; // it goes: what cannot be read must not keep everybody's samples from being averaged
  }
}

export async function cutMinutes(db: Db, before: Date): Promise<void> {
  await db.deleteFrom("telemetry").where("minute", "<", before).execute();
}
