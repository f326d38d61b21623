create or replace function tinydev_impl.cron_busy() returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
  select count(*) filter (where d.end_time is null and d.start_time > pg_postmaster_start_time()) >= current_setting('cron.max_running_jobs', true)::integer
         and max(d.start_time) > clock_timestamp() - interval '1 minute'
    from (select r.start_time, r.end_time from cron.job_run_details r order by r.runid desc limit 2000) d
$$;

comment on function tinydev_impl.cron_busy() is
$$Whether as many runs are under way as pg_cron starts at once, the last of them within this minute, so that what is due may be waiting for its turn.$$;
