create or replace function tinydev_impl.end_jobs() returns integer
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  c_grace constant interval := '10 seconds';  -- in which pg_cron notes the end of the run, which it would take for cancelled without its job
  v_state tinydev_impl.job_state;
  v_count integer := 0;
begin
  for v_state in
    select s.* from tinydev_impl.job_state s
     where s.schedule like 'at %' and s.active and s.next_due_at = 'infinity' and s.extra_at is null and coalesce(s.claimed_until, '-infinity') <= clock_timestamp()
       and coalesce(s.last_ended_at, '-infinity') < clock_timestamp() - c_grace
       and not exists (select from tinydev_impl.run r where r.status = 'running' and r.job_id = s.job_id)
     order by s.job_id limit 100
       for no key update skip locked
  loop
    -- One that cannot be read, or that its owner is changing, stays.
    continue when tinydev_lib.once_at(v_state.schedule, v_state.time_zone) > v_state.handled_to or tinydev_lib.once_at(v_state.schedule, v_state.time_zone) is null
      or not exists (select from cron.job j where j.jobid = v_state.job_id and j.active and tinydev_lib.is_once(j.command) for update skip locked);
    delete from tinydev_impl.audited_job a where a.job_id = v_state.job_id;
    delete from cron.job j where j.jobid = v_state.job_id;
    delete from tinydev_impl.job_state s where s.job_id = v_state.job_id;
    perform tinydev_impl.audit('job.ended', 'job ' || v_state.job_id, '', jsonb_build_object('job_id', v_state.job_id, 'owner', v_state.owner, 'view', v_state.view));
    v_count := v_count + 1;
  end loop;
  return v_count;
end $$;

comment on function tinydev_impl.end_jobs() is
$$Removes from cron.job, where they would come again each year, jobs that run once and are over: the run, with its retries, has ended, or their time was missed and nothing makes up for it.
Their runs stay. Audited as job.ended, by the server. Answers how many there were. tinydev_impl.watch_jobs calls it.$$;
