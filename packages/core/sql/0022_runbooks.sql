-- Runbooks: every version that was ever in force; those that are built in are not here.
create table runbooks (
  name text not null,
  version integer not null check (version > 0),
  definition jsonb not null,
  is_in_force boolean not null,
  changed_at timestamptz not null,
  changed_by text not null,
  primary key (name, version)
);
-- None of a name that is deleted.
create unique index runbooks_in_force on runbooks (name) where is_in_force;
create trigger old_term before insert or update or delete on runbooks for each statement execute function refuse_old_term();

-- Runs: what was said at the start, for whom, and what has become of it.
create table runbook_runs (
  id text primary key,
  runbook text not null,
  version integer not null,
  state text not null check (state in ('running', 'undoing', 'done', 'failed', 'cancelled')),
  parameters jsonb not null,
  started_at timestamptz not null,
  started_by text not null,
  role text not null check (role in ('operator', 'admin')),
  -- token/ID or account/NAME: each act asks whether it is still good.
  credential text not null,
  source_address text not null,
  trace_id text not null,
  is_cancel_requested boolean not null default false,
  is_undo_requested boolean not null default false,
  cancelled_by text not null default '',
  error jsonb,
  ended_at timestamptz,
  lease_owner text,
  -- Raised by whoever takes it in hand; a writer with an older one changes nothing.
  fence bigint not null default 0
);
create index runbook_runs_open on runbook_runs (started_at) where ended_at is null;
-- The same thing is not done twice at once.
create unique index runbook_runs_one_active on runbook_runs (runbook, parameters) where ended_at is null;
create trigger old_term before insert or update or delete on runbook_runs for each statement execute function refuse_old_term();

create table runbook_steps (
  run_id text not null references runbook_runs (id) on delete cascade,
  position integer not null,
  name text not null,
  act text not null,
  -- With the parameters in place.
  inputs jsonb not null,
  on_failure text not null check (on_failure in ('stop', 'continue', 'undo')),
  timeout_seconds integer not null,
  state text not null default 'pending'
    check (state in ('pending', 'running', 'waiting', 'done', 'failed', 'skipped', 'undone', 'cancelled')),
  started_at timestamptz,
  ended_at timestamptz,
  deadline_at timestamptz,
  -- How things stood before it did anything: what taking it back goes by.
  before jsonb,
  detail text not null default '',
  -- migration/ID, snapshot/ID, drill/ID
  made jsonb not null default '[]',
  error jsonb,
  is_undo_settled boolean not null default false,
  confirmed_by text,
  confirmed_at timestamptz,
  is_refused boolean not null default false,
  confirm_note text not null default '',
  primary key (run_id, position)
);
create trigger old_term before insert or update or delete on runbook_steps for each statement execute function refuse_old_term();
