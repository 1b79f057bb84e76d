// Workloads, where they are, and their snapshots.
import type { Generated } from "kysely";
import type { Json, JsonOrNull } from "./json.ts";

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
