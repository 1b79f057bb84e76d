// What people have set: policies, runbooks and their runs, settings.
import type { Generated } from "kysely";
import type { Json, JsonOrNull, JsonWithDefault } from "./json.ts";

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
  /** FINGERPRINT@STARTS_AT; empty: begun by hand. */
  alert: Generated<string>;
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

export interface SettingsTable {
  name: string;
  value: Json;
  changed_at: Date;
  changed_by: string;
}
