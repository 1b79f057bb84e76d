// Rows of samples: one a subject and minute. Writing appends; nobody waits for it, and a crash loses a few seconds of telemetry and nothing else.
import { type NodeSample, NodeSampleSchema, type WorkloadSample, WorkloadSampleSchema } from "@aether/contract/gen/aether/v2/telemetry_pb";
import { type DescMessage, type JsonValue, type MessageShape, toJson } from "@bufbuild/protobuf";
import { type Timestamp, timestampMs } from "@bufbuild/protobuf/wkt";
import { sql } from "kysely";
import type { Db } from "../db/database.ts";
import { fromColumn } from "../db/proto.ts";
import { average } from "./average.ts";

export type Sample = NodeSample | WorkloadSample;

const minuteMs = 60_000;
/** Rows in one statement: one should not hold the database for long. */
const batch = 500;

const json = (sample: Sample): JsonValue =>
  sample.$typeName === "aether.v2.NodeSample" ? toJson(NodeSampleSchema, sample) : toJson(WorkloadSampleSchema, sample);

/** Adds samples, each with its `at` set, to their minutes. */
export async function appendSamples(db: Db, samples: readonly { readonly subject: string; readonly sample: Sample }[]): Promise<void> {
  const rows = new Map<string, { subject: string; minute: Date; samples: JsonValue[] }>();
  for (const { subject, sample } of samples) {
    const atMs = sample.at === undefined ? 0 : timestampMs(sample.at);
    const minute = Math.floor(atMs / minuteMs) * minuteMs;
    const key = `${subject} ${minute}`;
    const row = rows.get(key) ?? { subject, minute: new Date(minute), samples: [] };
    row.samples.push(json(sample));
    rows.set(key, row);
  }
  const all = [...rows.values()];
  for (let from = 0; from < all.length; from += batch) {
    await sql`insert into telemetry (subject, minute, samples)
      select subject, minute, samples
      from jsonb_to_recordset(${JSON.stringify(all.slice(from, from + batch))}::jsonb) as each(subject text, minute timestamptz, samples jsonb)
      on conflict (subject, minute) do update set samples = telemetry.samples || excluded.samples`.execute(db);
  }
}

/** Samples of a subject whose `at` is not before `sinceMs`, oldest first. */
export async function readSamples<Desc extends DescMessage>(
  db: Db,
  schema: Desc,
  subject: string,
  sinceMs: number,
): Promise<(MessageShape<Desc> & { at?: Timestamp | undefined; spanMs: number })[]> {
  const rows = await db
    .selectFrom("telemetry")
    .select("samples")
    .where("subject", "=", subject)
    .where("minute", ">=", new Date(sinceMs - minuteMs))
    .orderBy("minute")
    .execute();
  return rows
    .flatMap(({ samples }) => (Array.isArray(samples) ? samples : []))
    .map((sample) => fromColumn(schema, sample) as MessageShape<Desc> & { at?: Timestamp | undefined; spanMs: number })
    .filter(({ at }) => at !== undefined && timestampMs(at) >= sinceMs);
}

/** Minutes before `before` become one sample each. Returns how many. */
export async function averageMinutes(db: Db, before: Date): Promise<number> {
  let count = 0;
  for (;;) {
    const rows = await db
      .selectFrom("telemetry")
      .select(["subject", "minute", "samples"])
      .where("is_averaged", "=", false)
      .where("minute", "<", before)
      .orderBy("minute")
      .limit(batch)
      .execute();
    if (rows.length === 0) return count;
    const averaged = rows.map(({ subject, minute, samples }) => ({
      subject,
      minute,
      is_averaged: true,
      samples: averagedColumn(subject, samples),
    }));
    await db
      .insertInto("telemetry")
      .values(averaged)
      .onConflict((conflict) =>
        conflict
          .columns(["subject", "minute"])
          .doUpdateSet({ samples: sql<string>`excluded.samples`, is_averaged: sql<boolean>`excluded.is_averaged` }),
      )
      .execute();
    count += rows.length;
  }
}

function averagedColumn(subject: string, samples: JsonValue): string {
  const list = Array.isArray(samples) ? samples : [];
  if (list.length === 0) return "[]";
  const read = <Desc extends DescMessage>(schema: Desc) => list.map((sample) => fromColumn(schema, sample));
  const one = subject.startsWith("node/")
    ? average(NodeSampleSchema, read(NodeSampleSchema))
    : average(WorkloadSampleSchema, read(WorkloadSampleSchema));
  return JSON.stringify([json(one)]);
}

export async function cutMinutes(db: Db, before: Date): Promise<void> {
  await db.deleteFrom("telemetry").where("minute", "<", before).execute();
}
