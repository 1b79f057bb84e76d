-- Settings for the workloads that their labels choose: every version that was ever in force.
create table policies (
  name text not null,
  version integer not null check (version > 0),
  description text not null,
  selector jsonb not null,
  rank integer not null,
  settings jsonb not null,
  is_in_force boolean not null,
  changed_at timestamptz not null,
  changed_by text not null,
  primary key (name, version)
);
-- None of a name that is deleted.
create unique index policies_in_force on policies (name) where is_in_force;
create trigger old_term before insert or update or delete on policies for each statement execute function refuse_old_term();
