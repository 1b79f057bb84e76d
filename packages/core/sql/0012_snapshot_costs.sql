-- What a snapshot cost: bytes that were written for it, chunks, processor time, and from begin to end.
alter table snapshots
  add column stored_bytes bigint not null default 0,
  add column chunk_count integer not null default 0,
  add column new_chunk_count integer not null default 0,
  add column cpu_seconds double precision not null default 0,
  add column total_ms double precision not null default 0,
  add column manifest_sha256 text not null default '';
