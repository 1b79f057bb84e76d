-- What stands in the way of moving a workload, and what a target must have: the newest answer of its node (ProtoJSON of WorkloadPreflight).
alter table workloads add column preflight jsonb;
