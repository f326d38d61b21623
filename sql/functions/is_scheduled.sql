create or replace function tinydev.is_scheduled(view text, every_seconds integer) returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  select exists (select from cron.job j where j.username = session_user and j.active
                    and tinydev.job_view(j.command) = is_scheduled.view and tinydev.job_interval(j.command) = is_scheduled.every_seconds)
$$;

comment on function tinydev.is_scheduled(text, integer) is
$$Whether your job that refreshes the view each so many seconds still stands and is active.$$;
