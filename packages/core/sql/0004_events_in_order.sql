-- Events are numbered when their transaction commits, one transaction at a time. Numbered when they were inserted, two writers at once could
-- commit in the other order, and a watcher who had read the higher number would never have seen the lower one. The lock is taken at
-- the very end of a transaction, when it holds all the rows that it will ever hold: nobody can wait in a circle.
alter table events drop constraint events_pkey;
alter table events add column id bigserial primary key;
alter table events alter column sequence drop default, alter column sequence drop not null;
create unique index events_by_sequence on events (sequence);

create function number_event() returns trigger language plpgsql as $$
begin
  perform pg_advisory_xact_lock(4150002);
  update events set sequence = nextval('events_sequence_seq') where id = new.id;
  -- Every process on this database wakes its watchers, after the commit.
  perform pg_notify('events', '');
  return null;
end
$$;
create constraint trigger events_numbered after insert on events deferrable initially deferred
  for each row execute function number_event();

-- Up to where events were cut, so that a watcher who resumes from before it is told that something is missing. One row.
create table events_cut (
  through bigint not null
);
insert into events_cut (through) values (0);
