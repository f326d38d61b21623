create or replace function tinydev.repeating_jobs() returns bigint
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$ select count(*) from cron.job j where j.active and tinydev.job_interval(j.command) is not null $$;

comment on function tinydev.repeating_jobs() is
$$How many active jobs repeat within their minute; each holds one of cron.max_running_jobs all the time.$$;
