// Kysely's view of sql/*.sql: the tables are in tables/, a file a part of the house. Enumerations are the texts that the checks allow; `proto.ts` maps them to
// the contract.
import type { Insertable, Selectable, Updateable } from "kysely";
import type { AccountsTable, SessionsTable, SignInFailuresTable, SignInLinksTable, TokensTable } from "./tables/access.ts";
import type { DrillSchedulesTable, DrillsTable, OracleSamplesTable } from "./tables/drills.ts";
import type {
  CommandsTable,
  LinkProbesTable,
  NodesTable,
  PoolShortagesTable,
  ReflexPlansTable,
  TelemetrySamplesTable,
  TelemetryTable,
} from "./tables/fleet.ts";
import type {
  AdvisorBandsTable,
  AssessmentHistoryTable,
  AssessmentsTable,
  FetchesTable,
  IncidentsTable,
  OnDemandPricesTable,
  PlacementScoresTable,
  SpotPricesTable,
} from "./tables/market.ts";
import type {
  CertificateChangesTable,
  CertificatesTable,
  DecisionsTable,
  GuardsTable,
  MigrationEventsTable,
  MigrationsTable,
  MoveMeasurementsTable,
  SignalsTable,
} from "./tables/moves.ts";
import type { AuditHeadTable, AuditTable, EventsCutTable, EventsTable, IdempotencyKeysTable } from "./tables/record.ts";
import type { PoliciesTable, RunbookRunsTable, RunbookStepsTable, RunbooksTable, SettingsTable } from "./tables/rules.ts";
import type { PlacementsTable, SnapshotsTable, WorkloadsTable } from "./tables/workloads.ts";

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
