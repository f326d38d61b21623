create or replace function tinydev_impl.watch_jobs(p_max integer default 500) returns integer
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_grace   interval := case when tinydev_impl.cron_busy() then '1 hour' else '2 minutes' end;  -- pg_cron makes up for minutes that it missed while it was busy
  v_began   timestamptz := clock_timestamp();
  v_state   tinydev_impl.job_state;
  v_wave_id bigint;
  v_is_alive boolean;  -- whether that wave is under way
  v_like    tinydev_impl.job_state;  -- the one before: many jobs have one schedule
  v_view    text;
  v_active  boolean;
  v_seconds integer;
  v_due     timestamptz[];
  v_count   integer := 0;
begin
  -- The clock was put back, by more than what pg_cron waits for.
  update tinydev_impl.job_state s set handled_to = v_began, next_due_at = null
   where s.job_id in (select a.job_id from tinydev_impl.job_state a where a.active and a.handled_to > v_began + interval '3 hours' for no key update skip locked);
  for v_state in
    select s.* from tinydev_impl.job_state s where s.active and (s.next_due_at is null or s.next_due_at < v_began - v_grace)
     order by s.job_id limit p_max
       for no key update skip locked
  loop
    v_count := v_count + 1;
    begin
      select tinydev_lib.job_subject(j.username, j.command), j.active into v_view, v_active from cron.job j where j.jobid = v_state.job_id;
      -- pg_cron deletes a job without firing triggers.
      if not found then
        delete from tinydev_impl.job_state s where s.job_id = v_state.job_id;
        continue;
      end if;
      if not v_active then
        update tinydev_impl.job_state s set active = false, extra_at = null, extra_cause = null, extra_count = 0 where s.job_id = v_state.job_id;
        continue;
      end if;
      v_seconds := tinydev_impl.turn_seconds(v_state.schedule);
      if v_state.wave_due_at is not null and v_state.wave_id is distinct from v_wave_id then
        v_wave_id := v_state.wave_id;
        v_is_alive := exists (select from tinydev_impl.run r where r.wave = v_wave_id and (r.status = 'running' or r.ended_at > v_began - interval '1 minute'));
      end if;
      if v_state.next_due_at is not null
         and not (v_state.wave_due_at is not null and v_is_alive)
         and not (v_state.last_status = 'running' and exists (select from tinydev_impl.run r where r.run_id = v_state.last_run_id and r.status = 'running')) then
        if v_seconds is not null then
          -- Each of its turns would have been one, of which nobody wants to hear.
          v_due := array[v_state.next_due_at];
          v_state.handled_to := clock_timestamp();
        else
          v_due := tinydev_impl.passed_times(v_state, v_began - v_grace);
          v_state.handled_to := coalesce(v_due[cardinality(v_due)], v_state.handled_to);
        end if;
        -- A command may name another's view, about which its owner has nothing to say.
        if v_due <> '{}' and v_view is not null then
          perform tinydev_impl.note_missed(v_state, v_due, v_state.missed);
          if v_state.missed <> 'none' then
            v_state.extra_at := clock_timestamp();
            v_state.extra_cause := 'missed';
            v_state.extra_count := case v_state.missed when 'all' then least(cardinality(v_due), 100) else 1 end;
          end if;
        end if;
      end if;
      v_state.next_due_at := coalesce(case
          when v_seconds is not null then greatest(v_state.handled_to, clock_timestamp()) + greatest(3 * v_seconds, 60) * interval '1 second'
          when (v_state.schedule, v_state.time_zone, v_state.handled_to) = (v_like.schedule, v_like.time_zone, v_like.handled_to) then v_like.next_due_at
          else (select d from tinydev_lib.due_times(v_state.schedule, v_state.time_zone, 1, v_state.handled_to) d) end, 'infinity');
      v_like := v_state;
      update tinydev_impl.job_state s
         set handled_to = v_state.handled_to, next_due_at = v_state.next_due_at, extra_at = v_state.extra_at, extra_cause = v_state.extra_cause, extra_count = v_state.extra_count
       where s.job_id = v_state.job_id;
    exception when others then
      -- Such as a schedule or a zone that was written in psql and is none. It is to stop nobody else's.
      raise log 'job % of %: %', v_state.job_id, v_state.owner, sqlerrm;
      update tinydev_impl.job_state s set next_due_at = 'infinity' where s.job_id = v_state.job_id;
    end;
    if clock_timestamp() > v_began + interval '3 seconds' then
      return p_max;
    end if;
  end loop;
  perform tinydev_impl.end_jobs();
  return v_count;
end $$;

comment on function tinydev_impl.watch_jobs(integer) is
$$Computes when jobs are due next, and writes view.missed for those that were due more than two minutes ago (an hour while pg_cron has as many runs under way as it may) and did not run, whatever the reason: PostgreSQL was down, the machine
slept, the clock jumped, pg_cron stood still. What each job's missed says is then asked for, see tinydev_impl.claim_runs. Looks at p_max jobs, for up to 3 s, and answers how many
needed a look, p_max when there may be more; jobs that run once and are over are removed; a job that is locked is left for the next time, one whose schedule is none until it runs or is changed. The server calls it every 5 s, the system's job each minute.$$;
