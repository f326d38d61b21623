create or replace function tinydev_impl.reconcile_runs() returns integer
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_cron  record;
  v_count integer := 0;
begin
  for v_cron in
    select d.*, tinydev_lib.job_view(d.command) as view
      from (select c.* from (select * from cron.job_run_details order by runid desc limit 10000) c
             where c.database = current_database()
               and c.end_time between clock_timestamp() - interval '1 hour' and clock_timestamp() - interval '10 seconds' and c.status in ('succeeded', 'failed')
               and c.end_time > (select i.runs_since from tinydev_impl.instance i)
               and not exists (select from tinydev_impl.run r where r.cron_run_id = c.runid)
            offset 0) d  -- what a command is about takes longer to find than all of this
     where tinydev_lib.job_subject(d.username, d.command) is not null
     order by d.runid
  loop
    begin
      insert into tinydev_impl.run (run_id, cron_run_id, job_id, owner, view_id, view, cause, actor, status, started_at, ended_at, message)
      values (v_cron.runid, v_cron.runid, v_cron.jobid, v_cron.username, tinydev_impl.relation_id(v_cron.view), v_cron.view, 'schedule', v_cron.username,
        case v_cron.status when 'failed' then 'running' else 'unrecorded' end, v_cron.start_time, v_cron.end_time, v_cron.return_message)
      on conflict (run_id) do nothing;
      if found then
        if v_cron.status = 'failed' then
          perform tinydev_impl.fail_run(v_cron.runid, null, 'launch_failed', 'pg_cron could not run it: ' || coalesce(v_cron.return_message, 'no reason given'));
        end if;
        v_count := v_count + 1;
      end if;
    exception when others then
      -- Its owner holds the job; it is tried again, and stops nobody else's.
      raise log 'run % of %: %', v_cron.runid, v_cron.username, sqlerrm;
    end;
  end loop;
  return v_count;
end $$;

comment on function tinydev_impl.reconcile_runs() is
$$Compares what pg_cron ran within the last hour with what was recorded. A run that pg_cron calls failed and that never reached tinydev.refresh becomes a failed run, with view.failed; one that
it calls succeeded and that left no record is one of the status unrecorded. Answers how many there were. The server calls it every 15 s, the system's job each minute.$$;
