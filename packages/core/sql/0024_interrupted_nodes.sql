-- Those that are announced to go are looked for each second, and are few.
create index nodes_interrupted on nodes (interruption_at) where interruption_at is not null;
