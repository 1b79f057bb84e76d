// What leads to moves, the moves themselves, and what they measured.
import type { Generated } from "kysely";
import type { Json, JsonOrNull, JsonWithDefault } from "./json.ts";

export type MigrationStateText =
  | "planned"
  | "preparing"
  | "copying"
  | "freezing"
  | "restoring"
  | "verifying"
  | "committed"
  | "resumed"
  | "done"
  | "rolling_back"
  | "rolled_back"
  | "needs_operator";

export type MigrationModeText = "auto" | "pre_copy" | "post_copy" | "stop_and_copy";

export interface MigrationsTable {
  id: string;
  workload: string;
  source_node_id: string;
  target_node_id: string;
  state: MigrationStateText;
  requested_mode: MigrationModeText;
  mode: Generated<MigrationModeText>;
  epoch_before: number;
  epoch_after: number | null;
  cause: string;
  drill_id: string | null;
  trace_id: Generated<string>;
  plan: JsonWithDefault;
  facts: JsonWithDefault;
  phases: JsonWithDefault;
  error: JsonOrNull;
  receipt: JsonOrNull;
  is_cancel_requested: Generated<boolean>;
  created_at: Generated<Date>;
  updated_at: Generated<Date>;
  deadline_at: Date | null;
  ended_at: Date | null;
  lease_owner: string | null;
  lease_until: Date | null;
  fence: Generated<number>;
}

export interface MigrationEventsTable {
  sequence: Generated<number>;
  migration_id: string;
  at: Generated<Date>;
  fence: number;
  type: string;
  step: Generated<string>;
  data: JsonWithDefault;
}

export type SignalKindText = "notice" | "rebalance" | "withdrawn" | "node_lost" | "risk";

export interface SignalsTable {
  id: string;
  node_id: string;
  sequence: number | null;
  kind: SignalKindText;
  observed_at: Date;
  received_at: Generated<Date>;
  effective_at: Date | null;
  action: Generated<string>;
  source: string;
  trace_id: Generated<string>;
  clock_offset_ms: number | null;
  decided_at: Date | null;
}

export interface DecisionsTable {
  id: string;
  at: Generated<Date>;
  node_id: string;
  signal_id: string | null;
  action: string;
  rule: string;
  reason: string;
  moves: JsonWithDefault;
  latency_ms: Generated<number>;
  since_observed_ms: number | null;
  trace_id: Generated<string>;
  inputs: JsonWithDefault;
  rule_version: Generated<string>;
  score: number | null;
  threshold: number | null;
  guards: JsonWithDefault;
  alternatives: JsonWithDefault;
  wave_id: string | null;
}

export interface CertificatesTable {
  workload: string;
  verdict: "green" | "amber" | "red";
  since: Date;
  computed_at: Date;
  body: Json;
  predicted: Json;
}

export interface CertificateChangesTable {
  id: Generated<number>;
  workload: string;
  at: Date;
  verdict: string;
  summary: string;
  node_id: string;
  target_node_id: string;
  freeze_ms: number;
  time_to_safe_ms: number;
  codes: JsonWithDefault;
}

export interface MoveMeasurementsTable {
  migration_id: string;
  drill_id: string | null;
  at: Date;
  workload: string;
  source_node_id: string;
  target_node_id: string;
  mode: string;
  memory_bytes: number;
  file_bytes: number;
  freeze_bytes: number;
  preflight_ms: number;
  prepare_ms: number;
  copy_ms: number;
  freeze_ms: number;
  time_to_safe_ms: number;
  bytes_per_second: number | null;
  predicted_freeze_ms: number | null;
  predicted_time_to_safe_ms: number | null;
  raw_freeze_ms: number | null;
  raw_time_to_safe_ms: number | null;
}

export interface GuardsTable {
  id: Generated<number>;
  is_paused: Generated<boolean>;
  paused_reason: Generated<string>;
  paused_by: Generated<string>;
  paused_at: Date | null;
  windows: JsonWithDefault;
}
