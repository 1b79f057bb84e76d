-- The audit only grows: the database itself refuses to change or remove an entry, by whatever statement.
create function refuse_audit_change() returns trigger language plpgsql as $$
begin
  raise exception 'the audit is append-only' using errcode = 'insufficient_privilege';
end
$$;
create trigger audit_append_only before update or delete on audit for each row execute function refuse_audit_change();
create trigger audit_not_emptied before truncate on audit for each statement execute function refuse_audit_change();

-- The newest entry. Its row is the lock of the one writer, and a chain that was cut at its end does not fit it. One row.
create table audit_head (
  sequence bigint not null,
  hash text not null
);
insert into audit_head (sequence, hash)
  select coalesce(max(sequence), 0), coalesce((select hash from audit order by sequence desc limit 1), repeat('0', 64)) from audit;
