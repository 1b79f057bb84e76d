-- A risk that the control plane itself has found is a signal like any other: it is decided by the same rules and kept with its decision.
alter table signals drop constraint signals_kind_check;
alter table signals add constraint signals_kind_check check (kind in ('notice', 'rebalance', 'withdrawn', 'node_lost', 'risk'));
