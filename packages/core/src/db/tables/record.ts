// What happened, who did it, and what was answered.
import type { ColumnType, Generated } from "kysely";
import type { JsonWithDefault } from "./json.ts";

export interface EventsTable {
  id: Generated<number>;
  /** Given at the commit; never seen without one from outside of the transaction. */
  sequence: ColumnType<number, never, never>;
  at: Generated<Date>;
  type: string;
  subject: string;
  message: string;
  data: JsonWithDefault;
  trace_id: Generated<string>;
}

export interface EventsCutTable {
  through: number;
}

export interface AuditTable {
  sequence: number;
  at_ms: number;
  actor: string;
  source_address: string;
  action: string;
  subject: string;
  outcome: "ok" | "denied" | "failed";
  data: string;
  trace_id: string;
  previous_hash: string;
  hash: string;
}

export interface AuditHeadTable {
  sequence: number;
  hash: string;
}

export interface IdempotencyKeysTable {
  actor: string;
  key: string;
  route: string;
  body_sha256: string;
  status: number | null;
  response: string | null;
  created_at: Generated<Date>;
}
