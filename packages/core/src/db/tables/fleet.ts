// Nodes, what is asked of them and what they say.
import type { ColumnType, Generated, GeneratedAlways } from "kysely";
import type { Json, JsonOrNull } from "./json.ts";

export interface NodesTable {
  id: string;
  facts: Json;
  usage: JsonOrNull;
  is_cordoned: Generated<boolean>;
  cordon_reason: Generated<string>;
  registered_at: Generated<Date>;
  seen_at: Date | null;
  lost_at: Date | null;
  interruption_at: Date | null;
  clock_offset_ms: number | null;
  declared_dead_at: ColumnType<Date | null, Date | null | undefined, Date | null>;
  facts_hash: GeneratedAlways<string>;
}

export type CommandOutcomeText = "ok" | "failed" | "refused" | "interrupted" | "unknown";

export interface CommandsTable {
  id: string;
  node_id: string;
  workload: string;
  migration_id: string | null;
  action: string;
  request: Json;
  outcome: CommandOutcomeText | null;
  result: JsonOrNull;
  created_at: Generated<Date>;
  finished_at: Date | null;
}

export interface LinkProbesTable {
  source_node_id: string;
  target_node_id: string;
  at: Date;
  /** Null: the last try failed. */
  bytes_per_second: number | null;
  round_trip_ms: number | null;
}

export interface PoolShortagesTable {
  /** INSTANCE_TYPE/ZONE */
  pool: string;
  cause: string;
  until: Date;
}

export interface ReflexPlansTable {
  node_id: string;
  version: number;
  sent_at: Date;
  steps: Json;
}

export interface TelemetryTable {
  /** node/ID or workload/NAME */
  subject: string;
  minute: Date;
  samples: Json;
}

export interface TelemetrySamplesTable {
  /** node/ID or workload/NAME */
  subject: string;
  from_at: Date;
  /** See telemetry/store.ts. */
  samples: Uint8Array;
}
