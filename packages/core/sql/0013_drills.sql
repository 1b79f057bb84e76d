-- Drills of every kind, drills that begin by themselves, and pools that are said to be short of capacity.
alter table drills drop constraint drills_kind_check;
alter table drills add constraint drills_kind_check check (kind in ('notice', 'rebalance', 'price', 'capacity', 'crash'));

create table drill_schedules (
  id text primary key,
  name text not null unique,
  kind text not null check (kind in ('notice', 'rebalance', 'price', 'capacity', 'crash')),
  -- Empty: the ready node with the most workloads.
  node_id text not null,
  window_seconds integer not null,
  price_factor double precision not null default 0,
  -- Exactly one of the two.
  cron text,
  every_seconds integer,
  time_zone text not null,
  created_at timestamptz not null,
  created_by text not null,
  -- Null while it is paused.
  next_at timestamptz,
  last_drill_id text,
  last_at timestamptz,
  -- 'beginning' until the drill is on record: a restart in between is found, and told as missed.
  last_outcome text not null default '',
  missed_count integer not null default 0,
  check ((cron is null) <> (every_seconds is null))
);
create index drill_schedules_by_time on drill_schedules (next_at);

-- A pool in which no target is chosen while another is left.
create table pool_shortages (
  -- INSTANCE_TYPE/ZONE
  pool text not null,
  cause text not null,
  until timestamptz not null,
  primary key (pool, cause)
);
