// The one moment at which a workload changes its owner. The process is frozen while this runs, so it is one statement: measured with the
// embedded database, 4 to 7 ms where a transaction of seven statements took 7 to 15. A statement is a transaction of its own: all or nothing.
import { fault } from "@aether/contract";
import { type Kysely, type RawBuilder, sql } from "kysely";
import type { Database, NewRow } from "../db/schema.ts";
import type { NewEvent } from "../events/events.ts";
import type { MigrationRecord, Mode, State } from "./state.ts";

/** What a commit sets of a migration's row. Phases and receipt come with the next transition: they would be two fifths of its work, and can be made anew. */
export interface CommitChange {
  readonly state: State;
  readonly mode: Mode;
  readonly fence: number;
  readonly facts: string;
  readonly updated_at: Date;
  readonly lease_until: Date;
  readonly epoch_after: number | null;
}

/** All of it that a transition sets. */
export interface MigrationChange extends CommitChange {
  readonly phases: string;
  readonly ended_at: Date | null;
  readonly error: string | null;
  readonly receipt: string | null;
}

export interface AccountRow {
  readonly migration_id: string;
  readonly fence: number;
  readonly type: string;
  readonly step: string;
  readonly data: string;
}

/** What a transition adds to other tables. */
export interface WrittenRows {
  readonly commands: readonly NewRow<"commands">[];
  readonly account: readonly AccountRow[];
  readonly told: readonly NewEvent[];
}

export interface CommitWrite {
  readonly owner: string;
  readonly before: Pick<
    MigrationRecord,
    "id" | "workload" | "sourceNodeId" | "targetNodeId" | "epochBefore" | "fence" | "isCancelRequested"
  >;
  readonly change: CommitChange;
  readonly rows: WrittenRows;
}

/**
 * Moves the placement from (source, E) to (target, E+1) with everything that belongs to it. False, with nothing changed: the lease is lost,
 * a cancel came in between, or the placement is not (source, E) any more.
 * `moved` divides by the number of placements that ended: where a concurrent change slipped in between the two updates, the statement fails.
 */
export async function commit(db: Kysely<Database>, { owner, before, change, rows }: CommitWrite, nowMs: number): Promise<boolean> {
  const at = new Date(nowMs);
  const result = await sql<{ held: number; moved: number }>`
    with held as (
      update migrations set state = ${change.state}, mode = ${change.mode}, fence = ${change.fence}, facts = ${change.facts}::jsonb,
        epoch_after = ${change.epoch_after}, updated_at = ${change.updated_at}, lease_until = ${change.lease_until}
      where id = ${before.id} and fence = ${before.fence} and lease_owner = ${owner} and ended_at is null
        and is_cancel_requested = ${before.isCancelRequested}
        and exists (select 1 from placements where workload = ${before.workload} and epoch = ${before.epochBefore}
          and node_id = ${before.sourceNodeId} and is_active)
      returning id
    ), ended as (
      update placements set is_active = false, ended_at = ${at}
      where exists (select 1 from held) and workload = ${before.workload} and epoch = ${before.epochBefore}
        and node_id = ${before.sourceNodeId} and is_active
      returning workload
    ), begun as (
      insert into placements (workload, epoch, node_id, cause, created_at)
      select workload, ${before.epochBefore + 1}::bigint, ${before.targetNodeId}, ${`migration/${before.id}`}, ${at}::timestamptz from ended
    ), sent as (
      insert into commands (id, node_id, workload, migration_id, action, request, created_at)
      select each.* from ended, ${recordset(rows.commands)} as each(id text, node_id text, workload text, migration_id text, action text,
        request jsonb, created_at timestamptz)
    ), account as (
      insert into migration_events (migration_id, fence, type, step, data)
      select each.* from ended, ${recordset(rows.account)} as each(migration_id text, fence bigint, type text, step text, data jsonb)
    ), told as (
      insert into events (type, subject, message, data, trace_id)
      select each.* from ended, ${recordset(rows.told.map(toldRow))} as each(type text, subject text, message text, data jsonb, trace_id text)
    )
    select (select count(*) from held)::int as held,
      case when (select count(*) from held) = 0 then 0 else 1 / (select count(*) from ended) end as moved`.execute(db);
  return result.rows[0]?.held === 1;
}

/**
 * The statement once, for a move that there is not: whatever it is the first to need (catalogues, plans, compiled code) is there afterwards. In the embedded
 * database the first of them takes 60 ms of processor time and later ones 3, and it would be the first move's clients that wait.
 */
export async function rehearseCommit(db: Kysely<Database>, nowMs: number): Promise<void> {
  const nobody = "rehearsal";
  const at = new Date(nowMs);
  const before = {
    id: nobody,
    workload: nobody,
    sourceNodeId: nobody,
    targetNodeId: nobody,
    epochBefore: 0,
    fence: 0,
    isCancelRequested: false,
  };
  const change: CommitChange = { state: "committed", mode: "auto", fence: 0, facts: "{}", updated_at: at, lease_until: at, epoch_after: 1 };
  const command = { id: nobody, node_id: nobody, workload: nobody, migration_id: nobody, action: "resume", request: "{}", created_at: at };
  const rows: WrittenRows = {
    commands: [command],
    account: [{ migration_id: nobody, fence: 0, type: "state", step: "", data: "{}" }],
    told: [{ type: "migration.committed", subject: nobody, message: "" }],
  };
  if (await commit(db, { owner: nobody, before, change, rows }, nowMs))
    throw fault("INTERNAL", "a commit was made of a move that there is not");
}

const toldRow = ({ type, subject, message, data, traceId }: NewEvent) => ({
  type,
  subject,
  message,
  data: data ?? {},
  trace_id: traceId ?? "",
});

/** Rows as one parameter; jsonb columns that are text already are put in as what they say. */
function recordset(rows: readonly object[]): RawBuilder<unknown> {
  const plain = rows.map((row) => Object.fromEntries(Object.entries(row).map(([key, value]) => [key, asJson(key, value)])));
  return sql`jsonb_to_recordset(${JSON.stringify(plain)}::jsonb)`;
}

function asJson(key: string, value: unknown): unknown {
  return (key === "data" || key === "request") && typeof value === "string" ? (JSON.parse(value) as unknown) : value;
}
