create or replace function tinydev.schedule(view text, schedule text, time_zone text default null, dry_run boolean default false) returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_view     tinydev_lib.refreshable := tinydev_lib.find_refreshable(schedule.view);
  v_parsed   jsonb := tinydev_lib.parse_schedule(schedule.schedule);
  v_job_id   bigint;
  v_name     text := v_view.full_name;
  v_schedule text := v_parsed ->> 'schedule';
  v_command  text := format('call tinydev.refresh(%L, cause => ''schedule'')', v_view.full_name);
begin
  if coalesce(schedule.time_zone, 'UTC') not in ('UTC', 'GMT', 'Etc/UTC', tinydev_lib.cron_time_zone())
     or (schedule.time_zone is not null and tinydev_lib.cron_time_zone() not in ('UTC', schedule.time_zone)) then
    perform tinydev_lib.fault(422, 'time_zone_unsupported', format('schedules here are read in %s, not in %s', tinydev_lib.cron_time_zone(), schedule.time_zone),
      format('leave time_zone out and write the schedule in %s', tinydev_lib.cron_time_zone()), jsonb_build_object('time_zone', schedule.time_zone));
  end if;
  select j.jobid into v_job_id from cron.job j where j.username = current_user and tinydev_lib.job_view(j.command) = v_view.full_name;
  if v_parsed ->> 'kind' = 'interval' and tinydev_lib.cron_release() < array[1, 5] then
    if not tinydev_lib.may_repeat(v_job_id) then
      perform tinydev_lib.fault(422, 'too_many_repeating',
        format('below 1.5 (here %s) intervals of seconds are jobs that repeat within a minute, and as many run already as pg_cron or your running_jobs has room for', tinydev_lib.cron_version()),
        'use whole minutes (* * * * *), have running_jobs or cron.max_running_jobs raised, or install pg_cron 1.5 or newer');
    end if;
    v_command := format('call tinydev.refresh(%L, cause => ''schedule'', every_seconds => %s)', v_view.full_name, v_parsed ->> 'seconds');
    v_schedule := '* * * * *';
  end if;
  if tinydev_lib.job_view(v_command) is distinct from v_view.full_name then
    perform tinydev_lib.fault(422, 'name_invalid', format('a view named %s cannot be scheduled', v_view.full_name), 'rename it without a backslash');
  end if;
  -- Below 1.5 pg_cron cuts names at 63 bytes, and a name that is taken would be overwritten.
  if octet_length(v_name) > 63 or exists (select from cron.job j where j.username = current_user and j.jobname = v_name and j.jobid is distinct from v_job_id) then
    v_name := 'tinydev ' || md5(v_view.full_name);
  end if;
  if schedule.dry_run then
    return jsonb_build_object('sql', jsonb_build_array(case when v_job_id is null
      then format('select cron.schedule_in_database(%L, %L, %L, current_database());', v_name, v_schedule, v_command)
      else format('select cron.alter_job(%s, schedule => %L, command => %L, active => true);', v_job_id, v_schedule, v_command) end));
  end if;
  if v_job_id is null then
    v_job_id := cron.schedule_in_database(v_name, v_schedule, v_command, current_database());
  else
    perform cron.alter_job(v_job_id, schedule => v_schedule, command => v_command, active => true);
  end if;
  return tinydev.describe_job(v_job_id);
end $$;

comment on function tinydev.schedule(text, text, text, boolean) is
$$Has pg_cron refresh a materialized view of yours: one plain row in cron.job, which runs as you. A view has one job; scheduling it again
gives that job the new schedule, keeps its job_id and resumes it. schedule is five cron fields ('0 9 * * 1-5') or '5 seconds' (1 to 59).
Answers {"job_id":5,"view":"ann.v","schedule":…,"time_zone":"UTC","active":true,"command":"call …","next_runs":[…],"warnings":[…]}; with
dry_run schedules nothing and answers {"sql":[…]}.
Example: select tinydev.schedule('bdays_today', '5 seconds');
Errors: TD404 view_not_found; TD403 not_owner; TD422 schedule_invalid, time_zone_unsupported, too_many_repeating.$$;
