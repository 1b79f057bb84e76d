-- What nodes and workloads use, a row a minute: appended to while the minute runs, averaged to one sample after an hour or so, cut after days.
create table telemetry (
  -- node/ID or workload/NAME
  subject text not null,
  minute timestamptz not null,
  -- NodeSample or WorkloadSample as ProtoJSON, oldest first.
  samples jsonb not null,
  is_averaged boolean not null default false,
  primary key (subject, minute)
) with (fillfactor = 70);
create index telemetry_by_minute on telemetry (minute);
create index telemetry_fine on telemetry (minute) where not is_averaged;
