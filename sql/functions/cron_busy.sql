create or replace function tinydev_impl.cron_busy() returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
  select (select count(*) filter (where d.end_time is null and d.start_time > pg_postmaster_start_time()) >= current_setting('cron.max_running_jobs', true)::integer
                 and max(d.start_time) > clock_timestamp() - interval '1 minute'
            from (select r.start_time, r.end_time from cron.job_run_details r order by r.runid desc limit 2000) d)
      -- A machine that is short of processor time is late with fewer under way.
      or (select count(*) >= 8
            from (select r.started_at, r.due_at, r.cron_run_id from tinydev_impl.run r order by r.run_id desc limit 500) l
           where l.cron_run_id is not null and l.started_at > clock_timestamp() - interval '1 minute' and l.started_at > l.due_at + interval '45 seconds')
$$;

comment on function tinydev_impl.cron_busy() is
$$Whether pg_cron is at work on what it could not start in time: as many runs are under way as it starts at once, the last of them within this minute, or several began late within this minute. So what is due
may be waiting for its turn.$$;
