-- No SET clause, so that PostgreSQL inlines it.
create or replace function tinydev_impl.may_see_event(p_role name, p_workspace name, p_subject_id oid) returns boolean
language sql stable
as $$
  select p_workspace operator(pg_catalog.=) p_role
      or pg_catalog.has_table_privilege(p_role, p_subject_id, 'select')
      or pg_catalog.pg_has_role(p_role, 'tinydev_admin', 'member')
$$;

comment on function tinydev_impl.may_see_event(name, name, oid) is
$$Whether a role sees an event: its own workspace's, one about a relation that it may read, all for administrators.$$;
