create or replace function tinydev_impl.start_canary(p_every interval) returns boolean
language sql security definer
set search_path = pg_catalog, pg_temp
as $$
  with started as (
    update tinydev_impl.canary c set started_at = clock_timestamp(), ended_at = null, ran_at = null, status = null, message = null
     where coalesce(c.started_at, '-infinity') < clock_timestamp() - p_every
       -- Older ones know no seconds, and a job of each minute tells nothing within 5 s; without history it leaves no trace.
       and tinydev_lib.cron_release() >= array[1, 5] and current_setting('cron.log_run', true) is distinct from 'off' and current_setting('cron.database_name', true) = current_database()
    returning 1
  )
  select exists (select from started)
$$;

create or replace function tinydev_impl.end_canary(p_job_id bigint, p_is_late boolean) returns boolean
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_run record;
begin
  select d.* into v_run from (select * from cron.job_run_details order by runid desc limit 10000) d
   where d.jobid = p_job_id and d.start_time >= (select c.started_at from tinydev_impl.canary c) and (d.end_time is not null or p_is_late) order by d.runid limit 1;
  if found or p_is_late then
    update tinydev_impl.canary set ended_at = clock_timestamp(), ran_at = v_run.end_time, status = v_run.status, message = v_run.return_message;
    return true;
  end if;
  return false;
end $$;

-- A procedure that commits has no SET clause.
create or replace procedure tinydev_impl.run_canary(p_every interval default '1 minute', p_patience interval default '5 seconds')
language plpgsql
as $$
declare
  v_job_id bigint;
  v_until  timestamptz;
begin
  if not tinydev_impl.start_canary(p_every) then
    return;
  end if;
  v_job_id := cron.schedule('tinydev: canary', '1 second', 'select 1');
  commit;
  v_until := pg_catalog.clock_timestamp() operator(pg_catalog.+) p_patience;
  loop
    exit when tinydev_impl.end_canary(v_job_id, pg_catalog.clock_timestamp() operator(pg_catalog.>=) v_until);
    commit;
    perform pg_catalog.pg_sleep(0.1);
  end loop;
  perform cron.unschedule(v_job_id);
  commit;
end $$;

comment on procedure tinydev_impl.run_canary(interval, interval) is
$$Has pg_cron run a job of the server's at once, and notes when it did, for tinydev.doctor; the job is removed afterwards. Does nothing when the last one
began within p_every, nor below pg_cron 1.5. For tinydev_server: it takes up to p_patience, and commits.$$;

comment on function tinydev_impl.start_canary(interval) is 'Notes the beginning of a canary, unless the last one began within p_every or pg_cron is too old for it; tells whether it did.';
comment on function tinydev_impl.end_canary(bigint, boolean) is 'Notes how the canary''s first run ended, when it did or when it is too late; tells whether it is over.';
