// Rehearsals, when they begin by themselves, and what clients saw.
import type { Generated } from "kysely";
import type { Json, JsonWithDefault } from "./json.ts";

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
