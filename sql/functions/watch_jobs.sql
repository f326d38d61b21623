create or replace function tinydev_impl.turn_seconds(p_schedule text) returns integer
language sql immutable
set search_path = pg_catalog, pg_temp
as $$ select (regexp_match(p_schedule, '^[[:space:]]*[+]?([0-9]+)[[:space:]]*seconds?[[:space:]]*$', 'i'))[1]::integer $$;

comment on function tinydev_impl.turn_seconds(text) is 'The seconds of a schedule that is an interval; null for any other.';

create or replace function tinydev_impl.passed_times(p_state tinydev_impl.job_state, p_until timestamptz) returns timestamptz[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  c_most constant integer := 1000;
  v_due  timestamptz[] := array(select d from tinydev_lib.due_times(p_state.schedule, p_state.time_zone, c_most, p_state.handled_to, p_until) d order by d);
begin
  if cardinality(v_due) = c_most then
    -- After a long time only the ends are looked at.
    v_due := v_due || array(select d from tinydev_lib.due_times(p_state.schedule, p_state.time_zone, c_most, greatest(v_due[c_most], p_until - c_most * interval '1 minute'), p_until) d order by d);
  end if;
  return v_due;
end $$;

comment on function tinydev_impl.passed_times(tinydev_impl.job_state, timestamptz) is
$$The times at which a job was due after handled_to, and none after another time, in order. Of more than 1000 those between the first 1000 and the last 1000 minutes are left out.$$;

create or replace function tinydev_impl.watch_jobs(p_max integer default 500) returns integer
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  c_grace   constant interval := '2 minutes';  -- pg_cron makes up for minutes that it missed while it was busy
  v_began   timestamptz := clock_timestamp();
  v_state   tinydev_impl.job_state;
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
    select s.* from tinydev_impl.job_state s where s.active and (s.next_due_at is null or s.next_due_at < v_began - c_grace)
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
      if v_state.next_due_at is not null
         and not (v_state.last_status = 'running' and exists (select from tinydev_impl.run r where r.run_id = v_state.last_run_id and r.status = 'running')) then
        if v_seconds is not null then
          -- Each of its turns would have been one, of which nobody wants to hear.
          v_due := array[v_state.next_due_at];
          v_state.handled_to := clock_timestamp();
        else
          v_due := tinydev_impl.passed_times(v_state, v_began - c_grace);
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
          else (select d from tinydev_lib.due_times(v_state.schedule, v_state.time_zone, 1, v_state.handled_to) d) end, 'infinity');
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
  return v_count;
end $$;

comment on function tinydev_impl.watch_jobs(integer) is
$$Computes when jobs are due next, and writes view.missed for those that were due more than two minutes ago and did not run, whatever the reason: PostgreSQL was down, the machine
slept, the clock jumped, pg_cron stood still. What each job's missed says is then asked for, see tinydev_impl.claim_runs. Looks at p_max jobs, for up to 3 s, and answers how many
needed a look, p_max when there may be more; a job that is locked is left for the next time, one whose schedule is none until it runs or is changed. The server calls it every 5 s, the system's job each minute.$$;

create or replace function tinydev_impl.claim_runs(p_max integer default 10) returns table (job_id bigint, owner name, cause text)
language sql security definer
set search_path = pg_catalog, pg_temp
as $$
  -- Until the run begins nobody else is to make it; should this server be gone by then, another one does.
  update tinydev_impl.job_state s set extra_at = clock_timestamp() + interval '1 minute'
   where s.job_id in (
     select d.job_id from tinydev_impl.job_state d
      where d.job_id in (
        select o.job_id
          from (select w.job_id, row_number() over (partition by w.owner order by w.extra_at, w.job_id) as place
                  from tinydev_impl.job_state w where w.active and w.extra_at <= clock_timestamp() and exists (select from cron.job j where j.jobid = w.job_id and j.active and tinydev_lib.job_subject(j.username, j.command) is not null)) o
         where o.place = 1)
        and tinydev_impl.is_user(d.owner)
        and 2 > (select count(*) from tinydev_impl.run r where r.status = 'running' and r.cause in ('retry', 'missed') and r.owner = d.owner)
      order by d.extra_at limit claim_runs.p_max for no key update skip locked)
  returning s.job_id, s.owner, s.extra_cause
$$;

comment on function tinydev_impl.claim_runs(integer) is
$$Runs that are to be made besides the schedule, in a session of the owner by call tinydev.run_job(job_id, cause): another attempt after a failure, or what was missed. Who claims one has
a minute to begin it. One for each user, who may have two under way, so that nobody's long ones keep others' waiting.$$;

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
