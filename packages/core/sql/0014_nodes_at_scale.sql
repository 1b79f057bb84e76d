-- Somebody's word that a node is dead; ends when it is heard again.
alter table nodes add column declared_dead_at timestamptz;
-- Facts are large and hardly ever change: who has parsed them once need not read them again.
alter table nodes add column facts_hash text generated always as (md5(facts::text)) stored;
