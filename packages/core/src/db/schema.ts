// Kysely's view of sql/*.sql, table by table. Enumerations are the texts that the checks allow; `proto.ts` maps them to the contract.
import type { JsonValue } from "@bufbuild/protobuf";
import type { ColumnType, Generated, GeneratedAlways, Insertable, Selectable, Updateable } from "kysely";

/** jsonb: read as parsed JSON; written as a JSON text or a value that JSON.stringify takes. Lists must be written as JSON text. */
export type Json = ColumnType<JsonValue, JsonValue | string, JsonValue | string>;
type JsonOrNull = ColumnType<JsonValue | null, JsonValue | string | null | undefined, JsonValue | string | null>;
type JsonWithDefault = ColumnType<JsonValue, JsonValue | string | undefined, JsonValue | string>;

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

export type WorkloadDesired = "running" | "stopped" | "removed";
export type WorkloadStateText = "starting" | "running" | "migrating" | "stopped" | "exited" | "failed" | "lost" | "needs_operator";
export type HealthText = "unknown" | "passing" | "failing";

export interface WorkloadsTable {
  name: string;
  id: string;
  spec: Json;
  address: string;
  desired: WorkloadDesired;
  state: WorkloadStateText;
  reason: Generated<string>;
  health: Generated<HealthText>;
  exit_code: number | null;
  usage: JsonOrNull;
  snapshot_id: string | null;
  stop_grace_seconds: Generated<number>;
  migration_id: string | null;
  created_at: Generated<Date>;
  started_at: Date | null;
  preflight: JsonOrNull;
}

export interface PlacementsTable {
  workload: string;
  epoch: number;
  node_id: string;
  is_active: Generated<boolean>;
  /** run | restore | migration/ID */
  cause: string;
  created_at: Generated<Date>;
  ended_at: Date | null;
}

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

export type SnapshotStateText = "creating" | "ready" | "failed" | "corrupt" | "deleting";

export interface SnapshotsTable {
  id: string;
  workload: string;
  spec: Json;
  state: SnapshotStateText;
  created_at: Generated<Date>;
  bytes: Generated<number>;
  node_id: string;
  epoch: number;
  manifest: JsonOrNull;
  error: JsonOrNull;
  freeze_ms: Generated<number>;
  stored_bytes: Generated<number>;
  chunk_count: Generated<number>;
  new_chunk_count: Generated<number>;
  cpu_seconds: Generated<number>;
  total_ms: Generated<number>;
  manifest_sha256: Generated<string>;
  max_freeze_ms: Generated<number>;
  freeze_bytes: Generated<number>;
  read_bytes: Generated<number>;
  since_snapshot_id: Generated<string>;
  whole_because: Generated<string>;
  exposed_ms: Generated<number>;
  is_pinned: Generated<boolean>;
  pin_reason: Generated<string>;
  verified_at: Date | null;
  cause: Generated<string>;
}

export type DrillKindText = "notice" | "rebalance" | "price" | "capacity" | "crash";

export interface DrillSchedulesTable {
  id: string;
  name: string;
  kind: DrillKindText;
  node_id: string;
  window_seconds: number;
  price_factor: Generated<number>;
  cron: string | null;
  every_seconds: number | null;
  time_zone: string;
  created_at: Date;
  created_by: string;
  next_at: Date | null;
  last_drill_id: string | null;
  last_at: Date | null;
  last_outcome: Generated<string>;
  missed_count: Generated<number>;
}

export interface PoliciesTable {
  name: string;
  version: number;
  description: string;
  selector: Json;
  rank: number;
  settings: Json;
  /** At most one version of a name; none once it is deleted. */
  is_in_force: boolean;
  changed_at: Date;
  changed_by: string;
}

export interface RunbooksTable {
  name: string;
  version: number;
  definition: Json;
  /** At most one version of a name; none once it is deleted. */
  is_in_force: boolean;
  changed_at: Date;
  changed_by: string;
}

export interface RunbookRunsTable {
  id: string;
  runbook: string;
  version: number;
  state: "running" | "undoing" | "done" | "failed" | "cancelled";
  parameters: Json;
  started_at: Date;
  started_by: string;
  role: "operator" | "admin";
  /** token/ID or account/NAME */
  credential: string;
  source_address: string;
  trace_id: string;
  is_cancel_requested: Generated<boolean>;
  is_undo_requested: Generated<boolean>;
  cancelled_by: Generated<string>;
  error: JsonOrNull;
  ended_at: Date | null;
  lease_owner: string | null;
  fence: Generated<number>;
}

export interface RunbookStepsTable {
  run_id: string;
  position: number;
  name: string;
  act: string;
  inputs: Json;
  on_failure: "stop" | "continue" | "undo";
  timeout_seconds: number;
  state: Generated<"pending" | "running" | "waiting" | "done" | "failed" | "skipped" | "undone" | "cancelled">;
  started_at: Date | null;
  ended_at: Date | null;
  deadline_at: Date | null;
  before: JsonOrNull;
  detail: Generated<string>;
  made: JsonWithDefault;
  error: JsonOrNull;
  is_undo_settled: Generated<boolean>;
  confirmed_by: string | null;
  confirmed_at: Date | null;
  is_refused: Generated<boolean>;
  confirm_note: Generated<string>;
}

export interface LinkProbesTable {
  source_node_id: string;
  target_node_id: string;
  at: Date;
  /** Null: the last try failed. */
  bytes_per_second: number | null;
  round_trip_ms: number | null;
}

export interface SettingsTable {
  name: string;
  value: Json;
  changed_at: Date;
  changed_by: string;
}

export interface PoolShortagesTable {
  /** INSTANCE_TYPE/ZONE */
  pool: string;
  cause: string;
  until: Date;
}

export interface DrillsTable {
  id: string;
  kind: DrillKindText;
  node_id: string;
  state: "running" | "passed" | "failed" | "stopped";
  window_seconds: number;
  started_at: Generated<Date>;
  ended_at: Date | null;
  signal_id: string | null;
  decision_id: string | null;
  report: JsonWithDefault;
}

export interface OracleSamplesTable {
  id: Generated<number>;
  name: string;
  workload: string;
  since: Date;
  until: Date;
  report: Json;
}

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

export type TokenRole = "viewer" | "operator" | "admin" | "agent";

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

export interface ReflexPlansTable {
  node_id: string;
  version: number;
  sent_at: Date;
  steps: Json;
}

export interface GuardsTable {
  id: Generated<number>;
  is_paused: Generated<boolean>;
  paused_reason: Generated<string>;
  paused_by: Generated<string>;
  paused_at: Date | null;
  windows: JsonWithDefault;
}

export interface TokensTable {
  id: string;
  name: string;
  role: TokenRole;
  secret_sha256: string;
  created_at: Generated<Date>;
  expires_at: Date;
  used_at: Date | null;
  used_by: string | null;
  revoked_at: Date | null;
  node_id: string | null;
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

export type AccountRole = "viewer" | "operator" | "admin";

export interface AccountsTable {
  id: string;
  name: string;
  role: AccountRole;
  password_hash: string | null;
  issuer: string | null;
  subject: string | null;
  created_at: Date;
  signed_in_at: Date | null;
  disabled_at: Date | null;
}

export interface SessionsTable {
  id: string;
  account_id: string;
  secret_sha256: string;
  created_at: Date;
  seen_at: Date;
  expires_at: Date;
  source_address: string;
  user_agent: string;
  revoked_at: Date | null;
}

export interface SignInFailuresTable {
  name: string;
  failed_count: number;
  failed_at: Date;
  locked_until: Date | null;
}

export interface SignInLinksTable {
  secret_sha256: string;
  account_id: string | null;
  created_at: Date;
  expires_at: Date;
}

export interface AssessmentsTable {
  subject: string;
  at: Date;
  probability: number;
  body: Json;
}

export interface AssessmentHistoryTable extends AssessmentsTable {
  id: string;
}

export interface SpotPricesTable {
  region: string;
  zone: string;
  instance_type: string;
  at: Date;
  usd_per_hour: number;
  origin: string;
  fetched_at: Date;
}

export interface OnDemandPricesTable {
  region: string;
  instance_type: string;
  usd_per_hour: number;
  source: "configured" | "spot-advisor";
  origin: string;
  fetched_at: Date;
}

export interface PlacementScoresTable {
  region: string;
  zone: string;
  instance_type: string;
  score: number;
  origin: string;
  fetched_at: Date;
}

export interface AdvisorBandsTable {
  region: string;
  instance_type: string;
  band: number;
  savings_percent: number;
  origin: string;
  fetched_at: Date;
}

export interface FetchesTable {
  kind: "price" | "feed";
  name: string;
  origin: string;
  last_success_at: Date | null;
  next_try_at: Date;
  failures_in_a_row: Generated<number>;
  error: Generated<string>;
  row_count: Generated<number>;
  format: Generated<string>;
  etag: Generated<string>;
  last_modified: Generated<string>;
}

export interface IncidentsTable {
  feed: string;
  item_id: string;
  region: string;
  title: string;
  last_word_at: Date;
  is_resolved: boolean;
}

export interface Database {
  nodes: NodesTable;
  workloads: WorkloadsTable;
  placements: PlacementsTable;
  migrations: MigrationsTable;
  migration_events: MigrationEventsTable;
  commands: CommandsTable;
  signals: SignalsTable;
  decisions: DecisionsTable;
  snapshots: SnapshotsTable;
  drills: DrillsTable;
  drill_schedules: DrillSchedulesTable;
  pool_shortages: PoolShortagesTable;
  settings: SettingsTable;
  policies: PoliciesTable;
  runbooks: RunbooksTable;
  runbook_runs: RunbookRunsTable;
  runbook_steps: RunbookStepsTable;
  link_probes: LinkProbesTable;
  oracle_samples: OracleSamplesTable;
  events: EventsTable;
  events_cut: EventsCutTable;
  audit: AuditTable;
  audit_head: AuditHeadTable;
  certificates: CertificatesTable;
  certificate_changes: CertificateChangesTable;
  move_measurements: MoveMeasurementsTable;
  guards: GuardsTable;
  reflex_plans: ReflexPlansTable;
  tokens: TokensTable;
  idempotency_keys: IdempotencyKeysTable;
  telemetry: TelemetryTable;
  telemetry_samples: TelemetrySamplesTable;
  accounts: AccountsTable;
  sessions: SessionsTable;
  sign_in_failures: SignInFailuresTable;
  sign_in_links: SignInLinksTable;
  assessments: AssessmentsTable;
  assessment_history: AssessmentHistoryTable;
  spot_prices: SpotPricesTable;
  on_demand_prices: OnDemandPricesTable;
  placement_scores: PlacementScoresTable;
  advisor_bands: AdvisorBandsTable;
  fetches: FetchesTable;
  incidents: IncidentsTable;
}

/** A row as it is read; `NewRow` as it is inserted; `RowChange` as it is updated. */
export type Row<Table extends keyof Database> = Selectable<Database[Table]>;
export type NewRow<Table extends keyof Database> = Insertable<Database[Table]>;
export type RowChange<Table extends keyof Database> = Updateable<Database[Table]>;
