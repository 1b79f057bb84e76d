-- What an operator has changed while the control plane runs; stands above the configuration. One row a subject.
create table settings (
  name text primary key,
  value jsonb not null,
  changed_at timestamptz not null,
  changed_by text not null
);

create trigger old_term before insert or update or delete on settings for each statement execute function refuse_old_term();
create trigger old_term before insert or update or delete on drill_schedules for each statement execute function refuse_old_term();
