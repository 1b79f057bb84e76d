-- The tables of the control plane. A file here never changes once released: the next change is the next number.
-- Enumerations are text with a check: readable in a dump, and a new value is one small migration.
-- jsonb columns hold ProtoJSON of the contract's messages, except where a comment says otherwise.

create table nodes (
  id text primary key,
  facts jsonb not null,
  usage jsonb,
  is_cordoned boolean not null default false,
  cordon_reason text not null default '',
  registered_at timestamptz not null default now(),
  seen_at timestamptz,
  -- Set while heartbeats are missing.
  lost_at timestamptz,
  -- When the announced interruption takes effect; set by the signal, cleared by its withdrawal.
  interruption_at timestamptz,
  -- core's clock less the agent's, ms, as the last heartbeat measured it.
  clock_offset_ms double precision
);

create table workloads (
  name text primary key,
  id text not null unique,
  spec jsonb not null,
  address text not null unique,
  desired text not null check (desired in ('running', 'stopped', 'removed')),
  state text not null check (state in ('starting', 'running', 'migrating', 'stopped', 'exited', 'failed', 'lost', 'needs_operator')),
  reason text not null default '',
  health text not null default 'unknown' check (health in ('unknown', 'passing', 'failing')),
  exit_code integer,
  usage jsonb,
  -- The snapshot from which it is being started; null: from its spec.
  snapshot_id text,
  stop_grace_seconds integer not null default 10,
  -- The move in progress; set and cleared in the same transaction as the migration's own row.
  migration_id text,
  created_at timestamptz not null default now(),
  started_at timestamptz
);

-- Where a workload runs, one row an epoch, never deleted: an agent refuses an epoch older than one that it has seen, so epochs must
-- go on growing even when a name is removed and used again.
create table placements (
  workload text not null,
  epoch bigint not null,
  node_id text not null,
  is_active boolean not null default true,
  -- run | restore | migration/ID
  cause text not null,
  created_at timestamptz not null default now(),
  ended_at timestamptz,
  primary key (workload, epoch)
);
create unique index placements_one_active on placements (workload) where is_active;
create index placements_by_node on placements (node_id) where is_active;

create table migrations (
  id text primary key,
  workload text not null,
  source_node_id text not null,
  target_node_id text not null,
  state text not null check (state in ('planned', 'preparing', 'copying', 'freezing', 'restoring', 'verifying', 'committed', 'resumed',
    'done', 'rolling_back', 'rolled_back', 'needs_operator')),
  requested_mode text not null check (requested_mode in ('auto', 'pre_copy', 'post_copy', 'stop_and_copy')),
  mode text not null default 'auto' check (mode in ('auto', 'pre_copy', 'post_copy', 'stop_and_copy')),
  epoch_before bigint not null,
  epoch_after bigint,
  -- operator | decision/ID
  cause text not null,
  drill_id text,
  trace_id text not null default '',
  -- What the planner chose and why; and the facts that the steps gathered. Shapes belong to migration/.
  plan jsonb not null default '{}',
  facts jsonb not null default '{}',
  phases jsonb not null default '[]',
  error jsonb,
  receipt jsonb,
  is_cancel_requested boolean not null default false,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  deadline_at timestamptz,
  ended_at timestamptz,
  lease_owner text,
  lease_until timestamptz,
  -- Grows with each taking of the lease; every write of a step names it.
  fence bigint not null default 0
);
create unique index migrations_one_active on migrations (workload) where ended_at is null;
create index migrations_by_time on migrations (created_at desc);

-- The journal: append-only.
create table migration_events (
  sequence bigserial primary key,
  migration_id text not null references migrations (id),
  at timestamptz not null default now(),
  fence bigint not null,
  type text not null,
  step text not null default '',
  data jsonb not null default '{}'
);
create index migration_events_by_migration on migration_events (migration_id, sequence);

-- Each command to an agent, written before it is sent.
create table commands (
  id text primary key,
  node_id text not null,
  workload text not null,
  migration_id text,
  action text not null,
  request jsonb not null,
  -- null until the agent's result is here; then ok | failed | refused | interrupted | unknown
  outcome text,
  result jsonb,
  created_at timestamptz not null default now(),
  finished_at timestamptz
);
create index commands_unfinished on commands (node_id) where outcome is null;
create index commands_by_migration on commands (migration_id) where migration_id is not null;
create index commands_by_time on commands (created_at);

create table signals (
  id text primary key,
  node_id text not null,
  -- The agent's own count; null for signals that the control plane found itself.
  sequence bigint,
  kind text not null check (kind in ('notice', 'rebalance', 'withdrawn', 'node_lost')),
  observed_at timestamptz not null,
  received_at timestamptz not null default now(),
  effective_at timestamptz,
  action text not null default '',
  source text not null,
  trace_id text not null default '',
  clock_offset_ms double precision,
  -- Set when a decision (also the decision to do nothing) is on record.
  decided_at timestamptz,
  unique (node_id, sequence)
);
create index signals_by_time on signals (received_at desc);
create index signals_undecided on signals (received_at) where decided_at is null;

create table decisions (
  id text primary key,
  at timestamptz not null default now(),
  node_id text not null,
  signal_id text,
  action text not null,
  rule text not null,
  reason text not null,
  moves jsonb not null default '[]',
  latency_ms double precision not null default 0,
  since_observed_ms double precision,
  trace_id text not null default ''
);
create index decisions_by_time on decisions (at desc);
create index decisions_by_signal on decisions (signal_id);

create table snapshots (
  id text primary key,
  workload text not null,
  spec jsonb not null,
  state text not null check (state in ('creating', 'ready', 'failed', 'corrupt', 'deleting')),
  created_at timestamptz not null default now(),
  bytes bigint not null default 0,
  node_id text not null,
  epoch bigint not null,
  manifest jsonb,
  error jsonb,
  freeze_ms double precision not null default 0
);
create index snapshots_by_workload on snapshots (workload, created_at desc);

create table drills (
  id text primary key,
  kind text not null check (kind in ('notice', 'rebalance')),
  node_id text not null,
  state text not null check (state in ('running', 'passed', 'failed', 'stopped')),
  window_seconds integer not null,
  started_at timestamptz not null default now(),
  ended_at timestamptz,
  signal_id text,
  decision_id text,
  -- Checks, numbers and what the oracles saw: ProtoJSON of a Drill.
  report jsonb not null default '{}'
);
create unique index drills_one_running on drills (node_id) where state = 'running';
create index drills_by_time on drills (started_at desc);

-- What clients with an oracle reported; kept for an hour, or with the drill that it belongs to.
create table oracle_samples (
  id bigserial primary key,
  name text not null,
  workload text not null,
  since timestamptz not null,
  until timestamptz not null,
  report jsonb not null
);
create index oracle_samples_by_name on oracle_samples (name, until desc);
create index oracle_samples_by_time on oracle_samples (until);

-- The ordered stream that the CLI and the page follow; bounded by age and number.
create table events (
  sequence bigserial primary key,
  at timestamptz not null default now(),
  type text not null,
  subject text not null,
  message text not null,
  data jsonb not null default '{}',
  trace_id text not null default ''
);
create index events_by_subject on events (subject, sequence);

-- Append-only, hash-chained. `data` is text: the hash is over these very bytes.
create table audit (
  sequence bigint primary key,
  at_ms bigint not null,
  actor text not null,
  source_address text not null,
  action text not null,
  subject text not null,
  outcome text not null check (outcome in ('ok', 'denied', 'failed')),
  data text not null,
  trace_id text not null,
  previous_hash text not null,
  hash text not null
);

create table tokens (
  id text primary key,
  name text not null,
  role text not null check (role in ('viewer', 'operator', 'admin', 'agent')),
  secret_sha256 text not null unique,
  created_at timestamptz not null default now(),
  expires_at timestamptz not null,
  used_at timestamptz,
  -- Join tokens only: the node that consumed it.
  used_by text,
  revoked_at timestamptz
);

create table idempotency_keys (
  actor text not null,
  key text not null,
  route text not null,
  body_sha256 text not null,
  -- null while the first request runs.
  status integer,
  response text,
  created_at timestamptz not null default now(),
  primary key (actor, key)
);
create index idempotency_keys_by_time on idempotency_keys (created_at);
