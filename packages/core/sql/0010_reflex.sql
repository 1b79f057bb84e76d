-- What each agent would do about a notice while the control plane is away: the plan that it was last given, and the names of the snapshots in it.
create table reflex_plans (
  node_id text primary key,
  version bigint not null,
  sent_at timestamptz not null,
  -- [{workload, epoch, snapshotId, priority}]
  steps jsonb not null
);
