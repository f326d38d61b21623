do $$
begin
  if pg_catalog.to_regtype('tinydev_lib.wave_member') is null then
    create type tinydev_lib.wave_member as (view text, timeout_seconds integer, track_changes text, waits boolean);
  end if;
end $$;

create or replace function tinydev_lib.next_in_wave(schedule text, time_zone text) returns tinydev_lib.wave_member
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_state  tinydev_impl.job_state;
  v_failed text;
begin
  loop
    select s.* into v_state from tinydev_impl.job_state s
     where s.owner = session_user and s.in_wave and s.schedule = next_in_wave.schedule and s.time_zone = next_in_wave.time_zone and s.active and s.wave_due_at is not null and not s.wave_taken
       and exists (select from cron.job j where j.jobid = s.job_id and j.active)
       and not exists (select from unnest(s.wave_after) a(view) join tinydev_impl.job_state u on u.owner = s.owner and u.view = a.view
                        where u.wave_id = s.wave_id and (u.wave_due_at is not null or u.last_status = 'running'))
     order by s.job_id limit 1
       for no key update skip locked;
    if not found then
      -- Those that nothing keeps waiting are locked: by who computes when jobs are due, or by their owner.
      return row(null, null, null, exists (
        select from tinydev_impl.job_state s
         where s.owner = session_user and s.in_wave and s.schedule = next_in_wave.schedule and s.time_zone = next_in_wave.time_zone and s.active and s.wave_due_at is not null and not s.wave_taken
           and exists (select from cron.job j where j.jobid = s.job_id and j.active)
           and (exists (select from tinydev_impl.run r where r.wave = s.wave_id and r.status = 'running')
                or not exists (select from unnest(s.wave_after) a(view) join tinydev_impl.job_state u on u.owner = s.owner and u.view = a.view
                                where u.wave_id = s.wave_id and (u.wave_due_at is not null or u.last_status = 'running')))))::tinydev_lib.wave_member;
    end if;
    select min(u.view) into v_failed from unnest(v_state.wave_after) a(view) join tinydev_impl.job_state u on u.owner = v_state.owner and u.view = a.view
     where u.wave_id = v_state.wave_id and (u.last_status = 'failed' or u.wave_skipped);
    if v_failed is null then
      -- Once, whatever comes of it: nothing that cannot begin holds up the others.
      update tinydev_impl.job_state s set wave_taken = true where s.job_id = v_state.job_id;
      return row(v_state.view, v_state.timeout_seconds, v_state.track_changes, false)::tinydev_lib.wave_member;
    end if;
    perform tinydev_impl.skip_run(v_state, v_state.wave_id, v_failed, 'schedule', v_state.wave_due_at);
    update tinydev_impl.job_state s set handled_to = s.wave_due_at, next_due_at = null, wave_due_at = null, wave_skipped = true where s.job_id = v_state.job_id;
  end loop;
end $$;

comment on function tinydev_lib.next_in_wave(text, text) is
$$A job of yours that is planned in a wave and whose turn it is: no other session has it, and those of the wave that it reads are done. Its row is locked until the run begins
(start_run). One of which something failed is skipped here. view is null when there is none; waits tells that there are some that wait for what another session
runs or holds.$$;
