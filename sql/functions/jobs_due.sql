create or replace function tinydev_lib.jobs_due(times timestamptz[], job_id bigint default null) returns integer[]
language sql stable security definer
set search_path = pg_catalog, pg_temp
set jit = off
as $$
  with job as materialized (
    select c.* from tinydev_impl.cron_times((select j.jobid from cron.job j where j.jobid = jobs_due.job_id and j.username = session_user)) c
  )
  select array(
    select (select coalesce(sum(c.jobs), 0)::integer
              from job c,
                   lateral (select l.day = any (c.days) or c.last_day and l.is_last_day as day, l.weekday = any (c.weekdays) as weekday) h
             where l.minute = any (c.minutes) and l.hour = any (c.hours) and l.month = any (c.months)
               and (h.day and h.weekday or c.either_day and (h.day or h.weekday)))
      from (select u.n, extract(minute from t.at)::integer as minute, extract(hour from t.at)::integer as hour, extract(day from t.at)::integer as day, extract(month from t.at)::integer as month,
                   extract(dow from t.at)::integer as weekday, extract(day from t.at + interval '1 day') = 1 as is_last_day
              from (select tinydev_lib.cron_time_zone() as name offset 0) z, unnest(jobs_due.times) with ordinality u(at, n), lateral (select u.at at time zone z.name as at offset 0) t
            offset 0) l
     order by l.n)
$$;

comment on function tinydev_lib.jobs_due(timestamptz[], bigint) is
$$How many active jobs of pg_cron, of all users, are due in the minutes of these times; a job of yours is left out. Only the numbers are told.$$;
