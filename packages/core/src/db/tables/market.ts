// Risk and prices.
import type { Generated } from "kysely";
import type { Json } from "./json.ts";

export interface AssessmentsTable {
  subject: string;
  at: Date;
  probability: number;
  body: Json;
  usd_per_hour: number | null;
}

export interface AssessmentHistoryTable extends Omit<AssessmentsTable, "usd_per_hour"> {
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
