create or replace function tinydev_impl.start_run() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_state   tinydev_impl.job_state;
  v_old     record;
  v_count   integer := 0;
  v_minute  timestamptz := date_trunc('minute', clock_timestamp());
  v_due     timestamptz[];
  v_covered timestamptz[];  -- of them, those at which the run before was under way
  v_missed  timestamptz[];
  v_in_wave boolean := new.cause = 'wave';
begin
  if v_in_wave then
    new.cause := 'schedule';
  end if;
  new.actor := session_user;
  new.status := 'running';
  new.started_at := clock_timestamp();
  new.pid := pg_backend_pid();
  new.backend_start := (select a.backend_start from pg_stat_get_activity(pg_backend_pid()) a);
  if new.timeout_seconds <= 0 then
    new.timeout_seconds := null;
  end if;
  -- Who watches runs cancels their sessions, so nobody's code begins one in another's.
  if new.owner <> session_user
     or new.view_id is null and (parse_ident(new.view))[1] is distinct from new.owner
     or new.view_id is not null and not exists (
       select from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where c.oid = new.view_id and new.view = format('%I.%I', n.nspname, c.relname) and pg_get_userbyid(c.relowner) = new.owner) then
    perform tinydev_lib.fault(403, 'not_owner', format('%s is not a view of %s', new.view, new.owner));
  end if;

  -- A session has one run at a time, or a few within each other. One that a statement before began, and whose end could not be recorded, has ended.
  for v_old in
    select r.run_id, r.started_at < statement_timestamp() as has_ended from tinydev_impl.run r
     where r.status = 'running' and r.pid = new.pid and r.backend_start = new.backend_start
  loop
    if v_old.has_ended then
      begin
        perform tinydev_impl.fail_run(v_old.run_id, null, 'run_lost', 'the session of the run went on without telling how it ended');
      exception when lock_not_available then
        null;  -- another session of its owner's holds the job; the end of this one tells
      end;
    else
      v_count := v_count + 1;
    end if;
  end loop;
  if v_count >= 8 then
    perform tinydev_lib.fault(409, 'runs_too_many', 'this statement has begun 8 runs already, none of which has ended');
  end if;

  if new.cause = 'schedule' and not v_in_wave then
    -- A job never overlaps itself, and pg_cron may not have noted the process yet. By the order of the numbers, not their values, which anybody's runs count up.
    select d.runid, d.jobid into new.cron_run_id, new.job_id
      from (select * from cron.job_run_details order by runid desc limit 1000) d join tinydev_impl.job_state s on s.job_id = d.jobid
     where s.owner = new.owner and s.view = new.view and d.end_time is null and (d.job_pid is null or d.job_pid = new.pid)
       and not exists (select from tinydev_impl.run r where r.run_id = d.runid and r.pid <> new.pid)
     order by d.command = current_query() desc, d.runid desc limit 1;
  elsif not v_in_wave then
    -- Of this run, and none that the session begins later.
    new.job_id := (regexp_match(current_setting('tinydev.job_id', true), '^[0-9]{1,18}$'))[1];
    perform set_config('tinydev.job_id', '', false);
  end if;
  -- A view may have jobs that run once beside its regular one, and several that were made in psql.
  select * into v_state from tinydev_impl.job_state s where s.owner = new.owner and s.view = new.view
     and exists (select from cron.job j where j.jobid = s.job_id)
     and (new.cause = 'schedule' or s.schedule not like 'at %' or s.job_id = new.job_id)
   order by v_in_wave and s.wave_due_at is not null desc, s.job_id is not distinct from new.job_id desc,
            case when new.cause = 'schedule' then s.next_due_at is not distinct from v_minute else s.extra_cause is not distinct from new.cause end desc, s.active desc, s.job_id
   limit 1;
  new.job_id := v_state.job_id;
  v_in_wave := v_in_wave and v_state.wave_due_at is not null;
  if new.cause = 'schedule' and new.cron_run_id is null and not v_in_wave and (v_state.job_id is null or current_setting('cron.log_run', true) is distinct from 'off') then
    new.cause := 'manual';  -- the command of a job, called by hand
  end if;
  new.run_id := new.cron_run_id;
  -- Further turns of a job that repeats within its minute.
  if new.run_id is null or exists (select from tinydev_impl.run r where r.run_id = new.run_id) then
    new.run_id := nextval('cron.runid_seq');
  end if;
  if v_state.job_id is null or new.cause = 'manual' then
    return new;
  end if;

  select * into v_state from tinydev_impl.job_state s where s.job_id = v_state.job_id for no key update;
  if new.cause = 'upstream' then
    with begun as (
      delete from tinydev_impl.upstream_mark m where m.job_id = v_state.job_id returning m.wave
    )
    select max(b.wave) into new.wave from begun b;
    update tinydev_impl.job_state s
       set claimed_until = null, attempt = 0, extra_at = case s.extra_cause when 'retry' then null else s.extra_at end, extra_count = case s.extra_cause when 'retry' then 0 else s.extra_count end,
           extra_cause = nullif(s.extra_cause, 'retry'), last_status = 'running', last_run_id = new.run_id
     where s.job_id = v_state.job_id;
    return new;
  end if;
  if new.cause in ('retry', 'missed') then
    new.attempt := v_state.attempt;
    if new.cause = 'retry' then
      new.wave := (select r.wave from tinydev_impl.run r where r.run_id = v_state.last_run_id);
    end if;
    update tinydev_impl.job_state s
       set claimed_until = null, extra_count = greatest(s.extra_count - 1, 0), extra_at = case when s.extra_count > 1 then clock_timestamp() end, extra_cause = case when s.extra_count > 1 then s.extra_cause end
     where s.job_id = v_state.job_id;
    return new;
  end if;

  if v_state.handled_to > clock_timestamp() + interval '1 minute' then
    -- The clock was put back. What pg_cron starts then is due once more.
    v_state.handled_to := v_minute - interval '1 minute';
  end if;
  if v_state.schedule ~ '^@re(boot|start)' or tinydev_impl.turn_seconds(v_state.schedule) is not null then
    null;  -- nothing that it could be late for
  elsif v_in_wave and coalesce(v_state.next_due_at, v_state.wave_due_at) = v_state.wave_due_at then
    new.due_at := v_state.wave_due_at;
  elsif v_state.next_due_at = v_minute then
    new.due_at := v_minute;
  else
    v_due := tinydev_impl.passed_times(v_state, clock_timestamp());
    if v_due = '{}' then
      update tinydev_impl.job_state s set wave_due_at = null where s.job_id = v_state.job_id and s.wave_due_at is not null;
      new.status := 'idle';
      new.ended_at := new.started_at;
      return new;
    end if;
    v_covered := array(select d from unnest(v_due) d where d > v_state.last_started_at and d <= v_state.last_ended_at order by d);
    new.due_at := case when v_state.overlap = 'queue' and v_covered <> '{}' then v_covered[1] else v_due[cardinality(v_due)] end;
    v_missed := array(select d from unnest(v_due) d where d < new.due_at and d <> all (v_covered) order by d);
    v_covered := array(select d from unnest(v_covered) d where d <= new.due_at and (d < new.due_at or v_state.overlap = 'skip') order by d);
    if v_missed <> '{}' then
      perform tinydev_impl.note_missed(v_state, v_missed, 'running');
    end if;
    if v_covered <> '{}' and v_state.overlap <> 'queue' then
      insert into tinydev_impl.inbox (type, subject, subject_id, workspace, actor, data)
      values ('view.skipped', new.view, new.view_id, new.owner, new.owner, jsonb_build_object('reason', 'overlap', 'cause', 'schedule', 'job_id', v_state.job_id,
        'run_id', new.run_id, 'due_at', v_covered[cardinality(v_covered)], 'count', cardinality(v_covered)));
    end if;
    if new.due_at = any (v_covered) then
      new.status := 'skipped';
      new.ended_at := new.started_at;
      new.message := 'the run before was still under way';
    end if;
  end if;
  if v_in_wave then
    new.wave := v_state.wave_id;
  end if;
  update tinydev_impl.job_state s
     set handled_to = coalesce(new.due_at, new.started_at), next_due_at = null, wave_due_at = null, attempt = 0, extra_at = null, extra_cause = null, extra_count = 0,
         last_status = case when new.status = 'skipped' then s.last_status else 'running' end, last_run_id = new.run_id
   where s.job_id = v_state.job_id;
  return new;
end $$;

comment on function tinydev_impl.start_run() is
$$Numbers a run and finds its job. For one that pg_cron starts it finds what is due, by the job's own time zone: nothing, so that the run is idle; or a time that
passed while the run before was under way, which the job's overlap says what to do with; times that nobody ran at are told as missed. One after others
takes the wave of what it comes after along.$$;

do $$
begin
  if not exists (select from pg_catalog.pg_trigger where tgrelid = 'tinydev_impl.run'::pg_catalog.regclass and tgname = 't10_start') then
    create trigger t10_start before insert on tinydev_impl.run for each row when (new.run_id is null) execute function tinydev_impl.start_run();
  end if;
end $$;
