-- The way between two nodes as a short transfer measured it last. A row without numbers: the last try failed.
create table link_probes (
  source_node_id text not null,
  target_node_id text not null,
  at timestamptz not null,
  bytes_per_second double precision,
  round_trip_ms double precision,
  primary key (source_node_id, target_node_id)
);
create trigger old_term before insert or update or delete on link_probes for each statement execute function refuse_old_term();
