-- Certificates, what calibrates them, guard rails, and what decisions keep.

-- The newest certificate of each workload; `body` is ProtoJSON of a Certificate.
create table certificates (
  workload text primary key,
  verdict text not null check (verdict in ('green', 'amber', 'red')),
  since timestamptz not null,
  computed_at timestamptz not null,
  body jsonb not null,
  -- {freezeMs, timeToSafeMs, rawFreezeMs, rawTimeToSafeMs}: copied into the plan of a move that begins.
  predicted jsonb not null
);

-- Certificates as they were: a row when the verdict, a code, the target or a number changed.
create table certificate_changes (
  id bigserial primary key,
  workload text not null,
  at timestamptz not null,
  verdict text not null,
  summary text not null,
  node_id text not null,
  target_node_id text not null,
  freeze_ms double precision not null,
  time_to_safe_ms double precision not null,
  codes jsonb not null default '[]'
);
create index certificate_changes_by_workload on certificate_changes (workload, id desc);

-- What each finished move measured, beside what was foretold when it began (null: nothing was). The source of calibration and of bandwidths.
create table move_measurements (
  migration_id text primary key,
  drill_id text,
  at timestamptz not null,
  workload text not null,
  source_node_id text not null,
  target_node_id text not null,
  mode text not null,
  memory_bytes bigint not null,
  file_bytes bigint not null,
  freeze_bytes bigint not null,
  preflight_ms double precision not null,
  prepare_ms double precision not null,
  copy_ms double precision not null,
  freeze_ms double precision not null,
  time_to_safe_ms double precision not null,
  -- Over the link of this pair; null where too little was sent to tell.
  bytes_per_second double precision,
  predicted_freeze_ms double precision,
  predicted_time_to_safe_ms double precision,
  -- The same before calibration: what the next calibration is made of.
  raw_freeze_ms double precision,
  raw_time_to_safe_ms double precision
);
create index move_measurements_by_time on move_measurements (at desc);
create index move_measurements_by_workload on move_measurements (workload, at desc);

-- One row: the kill switch and the maintenance windows (a list of MaintenanceWindow as ProtoJSON).
create table guards (
  id integer primary key default 1 check (id = 1),
  is_paused boolean not null default false,
  paused_reason text not null default '',
  paused_by text not null default '',
  paused_at timestamptz,
  windows jsonb not null default '[]'
);
insert into guards default values;

alter table decisions
  add column inputs jsonb not null default '[]',
  add column rule_version text not null default '',
  add column score double precision,
  add column threshold double precision,
  add column guards jsonb not null default '[]',
  add column alternatives jsonb not null default '[]',
  add column wave_id text;

alter table snapshots
  add column is_pinned boolean not null default false,
  add column pin_reason text not null default '',
  add column verified_at timestamptz,
  add column cause text not null default 'operator';

create index migrations_by_pair on migrations (source_node_id, target_node_id, created_at desc);
create index migrations_by_workload on migrations (workload, created_at desc);
