-- No SET clause, so that PostgreSQL inlines it.
create or replace function tinydev_impl.visible_data(p_role name, p_workspace name, p_data jsonb) returns jsonb
language sql stable
as $$
  select case when p_workspace operator(pg_catalog.=) p_role or pg_catalog.pg_has_role(p_role, 'tinydev_admin', 'member') then p_data
              else p_data operator(pg_catalog.-) array['message', 'detail',
                     case when (p_data operator(pg_catalog.->>) 'to') operator(pg_catalog.=) any (array[p_role::pg_catalog.text, 'everyone']) then null else 'to' end] end
$$;

comment on function tinydev_impl.visible_data(name, name, jsonb) is
$$An event's data as a role may see it: error texts quote rows, and with whom else something is shared is not everybody's to know, so only
the owner and administrators get them.$$;
