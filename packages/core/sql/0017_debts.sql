-- What ended moves owe to nodes is asked whenever a node is back: by an index of those that owe, not by looking at every move there ever was.
create index migrations_owing on migrations (created_at)
  where ended_at is not null and jsonb_array_length(coalesce(facts->'debts', '[]'::jsonb)) > 0;
