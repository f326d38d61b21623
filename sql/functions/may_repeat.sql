create or replace function tinydev_lib.may_repeat(job_id bigint) returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
  select count(*) < current_setting('cron.max_running_jobs')::integer / 2
         and count(*) filter (where j.username = session_user)
             < greatest(coalesce((select l.running_jobs from tinydev_impl.user_limit l where l.role_name = session_user),
                                 (select i.running_jobs from tinydev_impl.instance i)) - 1, 1)
    from cron.job j where j.active and tinydev_lib.job_interval(j.command) is not null and j.jobid is distinct from may_repeat.job_id
$$;

comment on function tinydev_lib.may_repeat(bigint) is
$$Whether one more job (or this one, when it does already) may repeat within its minute: each holds one of cron.max_running_jobs and
of your running_jobs all the time; half of the former and one of the latter are kept for other jobs.$$;
