-- Samples as they came: a row for each subject and writing, never written again. Appended to a row of its minute, as before, each of them was
-- copied some twenty times. `telemetry` keeps the averages of what is older, and the minutes of before in their old form until they are cut.
create table telemetry_samples (
  -- node/ID or workload/NAME
  subject text not null,
  -- Of its first sample.
  from_at timestamptz not null,
  -- GetNodeTelemetryResponse or GetWorkloadTelemetryResponse in the binary encoding, oldest sample first. Two of them one after the other are one.
  samples bytea not null,
  primary key (subject, from_at)
);
create index telemetry_samples_by_time on telemetry_samples (from_at);
drop index telemetry_fine;
alter table telemetry drop column is_averaged;
