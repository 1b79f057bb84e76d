-- Parameters may be longer than what an index holds.
drop index runbook_runs_one_active;
create unique index runbook_runs_one_active on runbook_runs (runbook, md5(parameters::text)) where ended_at is null;
