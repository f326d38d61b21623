create or replace function tinydev_lib.schedule_job(
  job_id bigint, view text, schedule text, time_zone text, after text, overlap text, missed text, timeout_seconds integer, retries integer, track_changes text, wave boolean, dry_run boolean
) returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_view     tinydev_lib.refreshable := tinydev_lib.find_refreshable(schedule_job.view);
  v_job      tinydev.job;
  v_parsed   jsonb;
  v_job_id   bigint;
  v_regular  bigint;
  v_name     text := v_view.full_name;
  v_zone     text;
  v_after    text[];
  v_schedule text;
  v_command  text;
  v_is_once  boolean;
  v_due      timestamptz;
  v_wave     boolean;
  v_waves    text[] := '{}';  -- SQL that has pg_cron run the wave
  v_sql      text;
  v_same     bigint;  -- another job of the view that runs once, at the same time
begin
  select c.jobid into v_regular from unnest(tinydev_lib.jobs_of(v_view.full_name)) u(id) join cron.job c on c.jobid = u.id
   where c.username = current_user and c.database = current_database() and tinydev_lib.job_view(c.command) = v_view.full_name and not tinydev_lib.is_once(c.command)
   order by c.jobid limit 1;
  select j.* into v_job from tinydev.job j where j.job_id = coalesce(schedule_job.job_id, v_regular);
  perform tinydev_lib.check_job_options(schedule_job.overlap, schedule_job.missed, schedule_job.timeout_seconds, schedule_job.retries, schedule_job.track_changes);
  v_schedule := coalesce(schedule_job.schedule, v_job.schedule, '');
  v_is_once := btrim(v_schedule) ~* '^at[[:space:]]';
  if v_is_once and schedule_job.job_id is null then
    v_job := null;
  end if;
  v_zone := tinydev_lib.check_time_zone(coalesce(schedule_job.time_zone, v_job.time_zone, tinydev_lib.cron_time_zone()));
  if upper(v_zone) in ('UTC', 'GMT', 'ETC/UTC') then
    v_zone := 'UTC';
  end if;

  if v_is_once then
    if schedule_job.job_id is not null and not tinydev_lib.is_once(v_job.command) then
      perform tinydev_lib.fault(422, 'schedule_invalid', format('job %s is the regular one of %s, and does not run once', v_job.job_id, v_view.full_name),
        format('select tinydev.schedule(%L, %L) makes a job beside it, tinydev.unschedule(%s) removes this one', v_view.full_name, v_schedule, v_job.job_id));
    end if;
    if btrim(schedule_job.after) <> '' then
      perform tinydev_lib.fault(422, 'dependency_invalid', 'a job that runs once, at a time, cannot run after others too', 'leave after to the view''s regular job', '{"field": "after"}');
    end if;
    v_after := '{}';
    v_parsed := tinydev_lib.parse_schedule(v_schedule);
    v_schedule := v_parsed ->> 'schedule';
    v_due := tinydev_lib.once_at(v_schedule, v_zone);
    if v_due <= clock_timestamp() and (schedule_job.schedule is not null or schedule_job.time_zone is not null or not v_job.active) then
      perform tinydev_lib.fault(422, 'schedule_past', format('%s in %s has passed, so it would never run', v_parsed ->> 'at', v_zone),
        'give a time to come, or refresh the view now with tinydev.refresh', jsonb_build_object('field', 'schedule', 'value', v_schedule));
    end if;
    select c.jobid into v_same from unnest(tinydev_lib.jobs_of(v_view.full_name)) u(id) join cron.job c on c.jobid = u.id, lateral (select tinydev_lib.job_arguments(c.command) as v offset 0) a
     where c.username = current_user and c.database = current_database() and tinydev_lib.job_view(c.command) = v_view.full_name and tinydev_lib.once_at(a.v[3], a.v[4]) = v_due
       and c.jobid is distinct from schedule_job.job_id
     order by c.jobid limit 1;
    if schedule_job.job_id is null then
      select j.* into v_job from tinydev.job j where j.job_id = v_same;
    elsif v_same is not null then
      perform tinydev_lib.fault(409, 'schedule_taken', format('job %s refreshes %s at that time already', v_same, v_view.full_name), 'give another time, or remove one of the two');
    end if;
    v_name := format('%s %s', v_view.full_name, v_schedule);
  else
    if schedule_job.job_id is not null and tinydev_lib.is_once(v_job.command) and v_regular is not null then
      perform tinydev_lib.fault(409, 'schedule_taken', format('%s has a regular job already, %s', v_view.full_name, v_regular), format('change that one: select tinydev.alter_job(%s, …)', v_regular));
    end if;
    v_after := coalesce(tinydev_lib.check_after(v_view.view_id, v_view.full_name, schedule_job.after), v_job.after, '{}');
    v_schedule := tinydev_lib.spread_schedule(v_schedule, v_zone, v_view.full_name, v_job.job_id);
    v_parsed := tinydev_lib.parse_schedule(case when btrim(v_schedule) = '' and v_after <> '{}' then tinydev_lib.no_schedule() else v_schedule end);
    v_schedule := v_parsed ->> 'schedule';
  end if;
  v_job_id := v_job.job_id;
  v_wave := coalesce(schedule_job.wave, v_job.wave, false);
  if v_wave and (v_parsed ->> 'kind' <> 'cron' or v_schedule = tinydev_lib.no_schedule()) then
    perform tinydev_lib.fault(422, 'wave_invalid', 'only a job with a schedule of five fields can be in a wave', 'leave wave out', '{"field": "wave"}');
  end if;

  v_command := format('call tinydev.refresh(%L, cause => ''schedule''', v_view.full_name);
  if v_is_once then
    v_command := v_command || format(', schedule => %L, time_zone => %L', v_schedule, v_zone);
    v_schedule := tinydev_lib.cron_schedule(v_schedule, v_zone);
  elsif v_parsed ->> 'kind' = 'interval' and tinydev_lib.cron_release() < array[1, 5] then
    if not tinydev_lib.may_repeat(v_job_id) then
      perform tinydev_lib.fault(422, 'too_many_repeating',
        format('below 1.5 (here %s) intervals of seconds are jobs that repeat within a minute, and as many run already as pg_cron or your running_jobs has room for', tinydev_lib.cron_version()),
        'use whole minutes (* * * * *), have running_jobs or cron.max_running_jobs raised, or install pg_cron 1.5 or newer');
    end if;
    v_command := v_command || format(', every_seconds => %s', v_parsed ->> 'seconds');
    v_schedule := '* * * * *';
  elsif v_parsed ->> 'kind' = 'cron' and v_schedule <> tinydev_lib.no_schedule() and (v_wave or upper(v_zone) <> upper(tinydev_lib.cron_time_zone())) then
    if v_schedule ~ '[^-0-9A-Za-z*,/$@ ]' then
      perform tinydev_lib.fault(422, 'schedule_invalid', format('the schedule "%s" has characters that mean nothing', left(v_schedule, 60)), 'write five fields such as 0 9 * * 1-5');
    end if;
    v_command := v_command || format(', schedule => %L, time_zone => %L', v_schedule, v_zone);
    if v_wave then
      v_waves := tinydev_lib.wave_jobs(v_schedule, v_zone, v_job_id);
      v_schedule := tinydev_lib.no_schedule();
    else
      v_schedule := tinydev_lib.cron_schedule(v_schedule, v_zone);
    end if;
  end if;
  v_command := v_command
    || coalesce(', overlap => ' || quote_literal(nullif(coalesce(schedule_job.overlap, v_job.overlap), 'skip')), '')
    || coalesce(', missed => ' || quote_literal(nullif(coalesce(schedule_job.missed, v_job.missed), 'once')), '')
    || coalesce(', timeout_seconds => ' || nullif(coalesce(schedule_job.timeout_seconds, v_job.timeout_seconds), 0), '')
    || coalesce(', retries => ' || nullif(coalesce(schedule_job.retries, v_job.retries), 0), '')
    || case when v_after <> '{}' then ', after => ' || quote_literal(array_to_string(v_after, ', ')) else '' end
    || coalesce(', track_changes => ' || quote_literal(nullif(coalesce(schedule_job.track_changes, v_job.track_changes), 'none')), '') || case when v_wave then ', wave => true' else '' end || ')';
  if tinydev_lib.job_view(v_command) is distinct from v_view.full_name then
    perform tinydev_lib.fault(422, 'name_invalid', format('a view named %s cannot be scheduled', v_view.full_name), 'rename it without a backslash');
  end if;
  -- Below 1.5 pg_cron cuts names at 63 bytes, and a name that is taken would be overwritten. A job that was rescheduled keeps the name of its first time.
  for v_turn in 1..100 loop
    exit when octet_length(v_name) <= 63 and not exists (select from cron.job j where j.username = current_user and j.jobname = v_name and j.jobid is distinct from v_job_id);
    v_name := 'tinydev ' || md5(concat(v_view.full_name, case when v_is_once then format(' %s %s %s', v_parsed ->> 'schedule', v_zone, v_turn) end));
  end loop;
  if schedule_job.dry_run then
    return jsonb_build_object('sql', to_jsonb(array[case when v_job_id is null
      then format('select cron.schedule_in_database(%L, %L, %L, current_database());', v_name, v_schedule, v_command)
      else format('select cron.alter_job(%s, schedule => %L, command => %L, active => true);', v_job_id, v_schedule, v_command) end] || v_waves));
  end if;
  if v_job_id is null then
    v_job_id := cron.schedule_in_database(v_name, v_schedule, v_command, current_database());
  else
    perform cron.alter_job(v_job_id, schedule => v_schedule, command => v_command, active => true);
  end if;
  foreach v_sql in array v_waves loop
    execute v_sql;
  end loop;
  return tinydev_lib.describe_scheduled(v_job_id);
end $$;

comment on function tinydev_lib.schedule_job(bigint, text, text, text, text, text, text, integer, integer, text, boolean, boolean) is
$$What tinydev.schedule does, which gives no job_id, and tinydev.alter_job, which gives the job to change.$$;
