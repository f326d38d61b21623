create or replace function tinydev_impl.claim_session(p_pid integer, p_role name) returns void
language sql security definer
set search_path = pg_catalog, pg_temp
as $$
  insert into tinydev_impl.server_session (pid, backend_start)
  select a.pid, a.backend_start from pg_stat_get_activity(p_pid) a join pg_roles r on r.oid = a.usesysid where r.rolname = p_role
  on conflict (pid) do update set backend_start = excluded.backend_start
$$;

comment on function tinydev_impl.claim_session(integer, name) is
$$Notes that the server opened this session of a role, so that the audit calls its door http. Does nothing when there is no such session.$$;
