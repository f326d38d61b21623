create or replace function tinydev_lib.jobs_by_minute(job_id bigint default null) returns integer[]
language sql stable security definer
set search_path = pg_catalog, pg_temp
set jit = off
as $$
  with busy as materialized (
    select h.hour * 60 + m.minute as minute, sum(c.jobs)::integer as jobs
      from tinydev_impl.cron_times((select j.jobid from cron.job j where j.jobid = jobs_by_minute.job_id and j.username = session_user)) c, unnest(c.hours) h(hour), unnest(c.minutes) m(minute)
     where not c.once
     group by 1
  )
  select array(select coalesce(b.jobs, 0) from generate_series(0, 1439) g(minute) left join busy b using (minute) order by g.minute)
$$;

comment on function tinydev_lib.jobs_by_minute(bigint) is
$$How many active jobs of pg_cron, of all users, have each of the 1440 minutes of a day among their times, on whichever days, in pg_cron's zone; a job of
yours is left out, and so are those that run once. Only the numbers are told.$$;
