-- How long a snapshot may stop its workload (0: as long as it takes), and how much memory was read while it stood still.
alter table snapshots
  add column max_freeze_ms double precision not null default 0,
  add column freeze_bytes bigint not null default 0;
