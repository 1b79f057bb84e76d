-- The alert that a run was begun for: FINGERPRINT@STARTS_AT, as its sender says; empty: begun by hand. It begins one run, however often it is told.
alter table runbook_runs add column alert text not null default '';
create unique index runbook_runs_one_alert on runbook_runs (runbook, alert) where alert <> '';
