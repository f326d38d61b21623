create or replace function tinydev_lib.may_repeat(job_id bigint) returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
  select count(*) < current_setting('cron.max_running_jobs')::integer / 2
    from cron.job j where j.active and tinydev_lib.job_interval(j.command) is not null and j.jobid is distinct from may_repeat.job_id
$$;

comment on function tinydev_lib.may_repeat(bigint) is
$$Whether one more job (or this one, when it does already) may repeat within its minute: each holds one of cron.max_running_jobs all the
time, and half of them are kept for other jobs.$$;
