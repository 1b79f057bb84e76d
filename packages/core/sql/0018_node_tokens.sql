-- A token of the role agent that names a node: with it a client without a certificate speaks for that node, and for no other.
alter table tokens add column node_id text check (node_id is null or role = 'agent');
