create or replace function tinydev_impl.free_slots() returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_first bigint[];
  v_jobs  bigint[];
begin
  for v_turn in 1..2 loop
    select array_agg(d.runid), array_agg(d.jobid) into v_first, v_jobs
      from cron.job_run_details d
      join cron.job j on j.jobid = d.jobid and j.active
      left join pg_stat_activity a on a.pid = d.job_pid
     where d.runid > (select max(m.runid) - 10000 from cron.job_run_details m) and (v_first is null or d.runid = any (v_first))
       and d.status = 'running' and d.end_time is null and d.start_time between pg_postmaster_start_time() and clock_timestamp() - interval '10 s'
       and (a.pid is null or a.backend_start > d.start_time or a.state = 'idle' and a.state_change < clock_timestamp() - interval '3 s')
       and not exists (select from tinydev_impl.held_job h where h.job_id = d.jobid and h.run_id >= d.runid);
    exit when v_first is null;
    if v_turn = 1 then
      -- pg_cron, which looks each second, is given the time to see that a run just ended.
      perform pg_sleep(3);
      perform pg_stat_clear_snapshot();
    end if;
  end loop;
  if v_first is null then
    return null;
  end if;
  insert into tinydev_impl.held_job (job_id, run_id, held_until)
  select u.job_id, max(u.run_id), clock_timestamp() + interval '5 s' from unnest(v_jobs, v_first) u(job_id, run_id) group by 1
  on conflict (job_id) do update set run_id = excluded.run_id, held_until = excluded.held_until;
  update cron.job j set active = false where j.jobid in (select o.jobid from cron.job o where o.jobid = any (v_jobs) and o.active for no key update skip locked);
  return to_jsonb(v_jobs);
end $$;

comment on function tinydev_impl.free_slots() is
$$Makes pg_cron see that runs have ended: where it connects by libpq it listens only to the first cron.max_running_jobs of its tasks, those
that wait for their turn among them, so that with a backlog all slots may be held by runs that are over, for ever. It gives up the run of
a job that is paused, so such jobs are paused until the next call of tinydev_impl.enforce_limits. Answers their numbers, or null.$$;
