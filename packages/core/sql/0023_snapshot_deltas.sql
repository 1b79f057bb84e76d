-- What was read for a snapshot, since which one its memory was read (or why all of it was), and how much work stood at risk until it was whole.
alter table snapshots
  add column read_bytes bigint not null default 0,
  add column since_snapshot_id text not null default '',
  add column whole_because text not null default '',
  add column exposed_ms double precision not null default 0;
