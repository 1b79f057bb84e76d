-- What an instance of the node's pool costs now, as its assessment has read it: targets are scored by it. Null: no source has confirmed a price lately.
alter table assessments add column usd_per_hour double precision;
