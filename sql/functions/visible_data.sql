-- No SET clause, so that PostgreSQL inlines it.
create or replace function tinydev_impl.visible_data(p_role name, p_workspace name, p_subject_id oid, p_data jsonb) returns jsonb
language sql stable
as $$
  select case when p_workspace operator(pg_catalog.=) p_role then p_data
              when pg_catalog.pg_has_role(p_role, 'tinydev_admin', 'member')
                then case when pg_catalog.has_table_privilege(p_role, p_subject_id, 'select') then p_data else p_data operator(pg_catalog.-) array['keys', 'rows_changed'] end
              else p_data operator(pg_catalog.-) array['message', 'detail',
                     case when (p_data operator(pg_catalog.->>) 'to') operator(pg_catalog.=) any (array[p_role::pg_catalog.text, 'everyone']) then null else 'to' end,
                     case when pg_catalog.has_table_privilege(p_role, p_subject_id, 'select') then null else 'keys' end,
                     case when pg_catalog.has_table_privilege(p_role, p_subject_id, 'select') then null else 'rows_changed' end] end
$$;

comment on function tinydev_impl.visible_data(name, name, oid, jsonb) is
$$An event's data as a role may see it: error texts quote rows, and with whom else something is shared is not everybody's to know, so only
the owner and administrators get them; keys and rows that a refresh changed only the owner and who may select from the whole view, which administrators need not.$$;
