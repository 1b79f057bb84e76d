// Assessments as rows: the newest of each subject, and those that changed by enough to matter.
import { type Assessment, AssessmentSchema } from "@aether/contract/gen/aether/v2/risk_pb";
import { timestampDate } from "@bufbuild/protobuf/wkt";
import type { Kysely } from "kysely";
import { fromColumn, toColumn } from "../db/proto.ts";
import type { Database, NewRow } from "../db/schema.ts";

const rowsAtOnce = 100;
/** An answer that did not change is kept so often all the same, so that a graph has points. */
const keepEveryMs = 900_000;

const probabilityOf = (assessment: Assessment): number =>
  assessment.horizons.find(({ horizonSeconds }) => horizonSeconds === assessment.explainedHorizonSeconds)?.probability ?? 0;

const dateOf = (assessment: Assessment): Date => (assessment.at ? timestampDate(assessment.at) : new Date(0));

const rowOf = (assessment: Assessment): Omit<NewRow<"assessments">, "usd_per_hour"> => ({
  subject: assessment.subject,
  at: dateOf(assessment),
  probability: probabilityOf(assessment),
  body: toColumn(AssessmentSchema, assessment),
});

/** By subject. */
export async function readNewest(db: Kysely<Database>): Promise<Map<string, Said>> {
  const rows = await db.selectFrom("assessments").select(["subject", "body"]).execute();
  return new Map(rows.map((row) => [row.subject, saidBy(fromColumn(AssessmentSchema, row.body))]));
}

/** @param prices USD per hour now, by subject, where one is known. */
export async function writeNewest(
  db: Kysely<Database>,
  assessments: readonly Assessment[],
  prices: ReadonlyMap<string, number>,
): Promise<void> {
  for (let i = 0; i < assessments.length; i += rowsAtOnce) {
    await db
      .insertInto("assessments")
      .values(assessments.slice(i, i + rowsAtOnce).map((each) => ({ ...rowOf(each), usd_per_hour: prices.get(each.subject) ?? null })))
      .onConflict((conflict) =>
        conflict.column("subject").doUpdateSet((eb) => ({
          at: eb.ref("excluded.at"),
          probability: eb.ref("excluded.probability"),
          body: eb.ref("excluded.body"),
          usd_per_hour: eb.ref("excluded.usd_per_hour"),
        })),
      )
      .execute();
  }
}

/** What is not assessed any more (a node that is gone) has no newest answer; its history stays. */
export async function forget(db: Kysely<Database>, subjects: readonly string[]): Promise<void> {
  for (let i = 0; i < subjects.length; i += rowsAtOnce)
    await db
      .deleteFrom("assessments")
      .where("subject", "in", subjects.slice(i, i + rowsAtOnce))
      .execute();
}

/** What of an assessment the next one is compared with. */
export interface Said {
  readonly modelVersion: string;
  readonly probability: number;
  readonly names: string;
  readonly quarter: number;
}

export const saidBy = (assessment: Assessment): Said => ({
  modelVersion: assessment.modelVersion,
  probability: probabilityOf(assessment),
  names: [...assessment.contributions.filter(({ source }) => source !== "learnt").map(({ name }) => name), "|", ...assessment.missing]
    .sort()
    .join(),
  quarter: Math.floor(dateOf(assessment).getTime() / keepEveryMs),
});

/** The probability moved by half a point or a tenth, a reason or a missing input came or went, or a quarter of an hour has passed. */
export function isNews(now: Said, before: Said | undefined): boolean {
  if (before === undefined || before.modelVersion !== now.modelVersion) return true;
  const [p, q] = [now.probability, before.probability];
  return Math.abs(p - q) > Math.max(0.005, 0.1 * q) || now.names !== before.names || now.quarter !== before.quarter;
}

export async function appendHistory(db: Kysely<Database>, assessments: readonly Assessment[]): Promise<void> {
  for (let i = 0; i < assessments.length; i += rowsAtOnce) {
    await db
      .insertInto("assessment_history")
      .values(assessments.slice(i, i + rowsAtOnce).map((assessment) => ({ id: assessment.id, ...rowOf(assessment) })))
      .execute();
  }
}

export async function cutHistory(db: Kysely<Database>, before: Date): Promise<void> {
  await db.deleteFrom("assessment_history").where("at", "<", before).execute();
}
