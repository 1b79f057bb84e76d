-- Several control planes on one database: one leads, the others stand by. A term is one leadership; it only grows.
create table leadership (
  id integer primary key default 1 check (id = 1),
  term bigint not null default 0,
  owner text not null default '',
  -- By the database's clock alone.
  until timestamptz,
  -- Where people and programs find the leader.
  address text not null default '',
  -- Of the authority's root: all control planes must speak for the same one.
  authority_pin text not null default ''
);
insert into leadership default values;

-- A leader whose term is over writes nothing: each connection of a leader carries its term, and the database compares. A connection without one
-- (the embedded database, which one process has for itself; a person at a prompt) is not asked.
create function refuse_old_term() returns trigger language plpgsql as $$
declare
  mine text := current_setting('aether.term', true);
begin
  if mine <> '' and mine::bigint <> (select term from leadership) then
    raise exception 'the term of this control plane is over' using errcode = 'AE001';
  end if;
  return null;
end
$$;

do $$
declare
  name text;
begin
  foreach name in array array['nodes', 'workloads', 'placements', 'migrations', 'migration_events', 'commands', 'signals', 'decisions',
    'snapshots', 'drills', 'guards', 'certificates', 'tokens', 'audit']
  loop
    execute format('create trigger old_term before insert or update or delete on %I for each statement execute function refuse_old_term()', name);
  end loop;
end
$$;
