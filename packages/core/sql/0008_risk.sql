-- Assessments, prices and provider feeds.

-- The newest assessment of each node and pool; `body` is ProtoJSON of an Assessment.
create table assessments (
  subject text primary key,
  at timestamptz not null,
  -- Within the explained horizon: what lists are ordered by.
  probability double precision not null,
  body jsonb not null
);
create index assessments_by_probability on assessments (probability desc, subject);

-- Assessments as they were: a row when the answer, its reasons or what is missing changed by enough to matter, and every quarter of an hour.
create table assessment_history (
  id text primary key,
  subject text not null,
  at timestamptz not null,
  probability double precision not null,
  body jsonb not null
);
create index assessment_history_by_subject on assessment_history (subject, id desc);
create index assessment_history_by_time on assessment_history (at);

-- One row a change of price. USD per hour, Linux/UNIX.
create table spot_prices (
  region text not null,
  zone text not null,
  instance_type text not null,
  at timestamptz not null,
  usd_per_hour double precision not null check (usd_per_hour >= 0),
  origin text not null,
  fetched_at timestamptz not null,
  primary key (region, zone, instance_type, at)
);
create table on_demand_prices (
  region text not null,
  instance_type text not null,
  usd_per_hour double precision not null check (usd_per_hour > 0),
  -- configured | spot-advisor (derived from its savings and the spot price)
  source text not null,
  origin text not null,
  fetched_at timestamptz not null,
  primary key (region, instance_type, source)
);
-- 1 to 10. By zone name.
create table placement_scores (
  region text not null,
  zone text not null,
  instance_type text not null,
  score double precision not null,
  origin text not null,
  fetched_at timestamptz not null,
  primary key (region, zone, instance_type)
);
create table advisor_bands (
  region text not null,
  instance_type text not null,
  band integer not null check (band between 0 and 4),
  savings_percent double precision not null,
  origin text not null,
  fetched_at timestamptz not null,
  primary key (region, instance_type)
);

-- The health of everything that is fetched, prices and feeds alike: it survives a restart, so that a failing source is not hammered.
create table fetches (
  kind text not null check (kind in ('price', 'feed')),
  name text not null,
  origin text not null,
  last_success_at timestamptz,
  next_try_at timestamptz not null,
  failures_in_a_row integer not null default 0,
  error text not null default '',
  -- Rows of a price fetch, items of a feed.
  row_count integer not null default 0,
  -- rss | atom | json, of feeds.
  format text not null default '',
  -- What the server said about the version we have.
  etag text not null default '',
  last_modified text not null default '',
  primary key (kind, name)
);

-- One row an item and region: what a feed said of an incident last.
create table incidents (
  feed text not null,
  item_id text not null,
  region text not null,
  title text not null,
  last_word_at timestamptz not null,
  is_resolved boolean not null,
  primary key (feed, item_id, region)
);
create index incidents_by_region on incidents (region, last_word_at desc);
