create or replace function tinydev_impl.cron_stalled(p_at timestamptz default clock_timestamp()) returns timestamptz
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
  select l.started
    from cron.job j
   cross join lateral (
     select greatest(pg_postmaster_start_time(),
              (select d.start_time
                 from (select r.runid, r.jobid, r.start_time from cron.job_run_details r order by r.runid desc limit 100000) d
                where d.jobid = j.jobid and d.start_time is not null order by d.runid desc limit 1)) as started
   ) l
   where j.jobname = 'tinydev: place events' and j.username = 'tinydev_server' and j.database = current_database() and j.active
     and l.started < p_at - interval '3 minutes'
     -- Where pg_cron keeps no history, or launches in another database, nothing can be said.
     and current_setting('cron.log_run', true) is distinct from 'off' and current_setting('cron.database_name', true) = current_database()
$$;

comment on function tinydev_impl.cron_stalled(timestamptz) is
$$Since when pg_cron has started nothing, not even the system's job of each minute, when that is more than 3 minutes; else null.$$;
