create or replace function tinydev_impl.end_session(p_pid integer) returns boolean
language sql security definer
set search_path = pg_catalog, pg_temp
as $$
  select coalesce((select pg_terminate_backend(a.pid)
                     from pg_stat_get_activity(p_pid) a join tinydev_impl.server_session s on s.pid = a.pid and s.backend_start = a.backend_start), false)
$$;

comment on function tinydev_impl.end_session(integer) is
$$Terminates a session that the server opened (claim_session), since a user's function can catch a cancel. False: there is no such session.$$;
