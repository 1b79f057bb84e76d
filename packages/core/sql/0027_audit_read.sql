-- The audit is looked through by who, on what, and for what was refused.
create index audit_by_actor on audit (actor, sequence desc);
create index audit_by_subject on audit (subject, sequence desc);
create index audit_not_ok on audit (outcome, sequence desc) where outcome <> 'ok';
