// The policies that count now, read once for a look at many workloads.
import { PolicySettingsSchema } from "@aether/contract/gen/aether/v2/policy_pb";
import { WorkloadSpecSchema } from "@aether/contract/gen/aether/v2/workload_pb";
import type { JsonValue } from "@bufbuild/protobuf";
import type { Kysely } from "kysely";
import { z } from "zod";
import { fromColumn } from "../db/proto.ts";
import type { Database, Row } from "../db/schema.ts";
import { type Effective, type PolicyVersion, resolve, type Said } from "./resolve.ts";

export interface PoliciesInForce {
  readonly policies: readonly PolicyVersion[];
  of(said: Said): Effective;
  /** Of a workload's `spec` column. */
  ofColumn(spec: JsonValue): Effective;
}

export async function readPoliciesInForce(db: Kysely<Database>): Promise<PoliciesInForce> {
  const rows = await db.selectFrom("policies").selectAll().where("is_in_force", "=", true).orderBy("name").execute();
  const policies = rows.map(toVersion);
  const of = (said: Said) => resolve(said, policies);
  return { policies, of, ofColumn: (spec) => of(fromColumn(WorkloadSpecSchema, spec)) };
}

const labels = z.record(z.string(), z.string());

export function toVersion(row: Row<"policies">): PolicyVersion {
  const { name, version, rank } = row;
  return { name, version, rank, selector: labels.parse(row.selector), settings: fromColumn(PolicySettingsSchema, row.settings) };
}
