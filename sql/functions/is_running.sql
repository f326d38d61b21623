create or replace function tinydev_lib.is_running(pid integer, started_at timestamptz) returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
  -- A number is used again; pg_cron notes the start of a run before or after that of its process.
  select exists (select from pg_stat_activity a where a.pid = is_running.pid and a.backend_start < is_running.started_at + interval '10 s')
$$;

comment on function tinydev_lib.is_running(integer, timestamptz) is
$$Whether a process of PostgreSQL that was there at a time is there still. A user sees the beginning of others' sessions only so.$$;
