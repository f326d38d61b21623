create or replace function tinydev_lib.is_scheduled(view text, every_seconds integer) returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  select exists (select from cron.job j where j.username = session_user and j.active
                    and tinydev_lib.job_view(j.command) = is_scheduled.view and tinydev_lib.job_interval(j.command) = is_scheduled.every_seconds)
$$;

comment on function tinydev_lib.is_scheduled(text, integer) is
$$Whether your job that refreshes the view each so many seconds still stands and is active.$$;
