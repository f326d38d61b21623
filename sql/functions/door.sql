create or replace function tinydev_impl.door() returns text
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_kind    text;
  v_started timestamptz;
begin
  if session_user = 'tinydev_server' then
    return 'server';
  end if;
  select a.backend_type, a.backend_start into v_kind, v_started from pg_stat_get_activity(pg_backend_pid()) a;
  if v_kind = 'pg_cron' then
    return 'job';
  end if;
  -- A pid is used again, so the backend's start has to agree.
  if exists (select from tinydev_impl.server_session s where s.pid = pg_backend_pid() and s.backend_start = v_started) then
    return 'http';
  end if;
  -- Without background workers pg_cron connects like anybody; its own table says which processes are jobs.
  if current_setting('cron.use_background_workers', true) is distinct from 'on' and exists (
       select from (select * from cron.job_run_details order by runid desc limit 10000) d
        where d.job_pid = pg_backend_pid() and d.database = current_database() and d.username = session_user
          and d.status in ('sending', 'running') and (d.start_time is null or d.start_time >= v_started)) then
    return 'job';
  end if;
  return 'sql';
end $$;

comment on function tinydev_impl.door() is
$$The way in which the current session came: http (the server opened it), job (pg_cron runs it), server (the server's own) or sql. Nothing
that a session can say of itself counts.$$;
