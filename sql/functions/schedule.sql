create or replace function tinydev.schedule(
  view text, schedule text default null, time_zone text default null, after text default null, overlap text default null, missed text default null,
  timeout_seconds integer default null, retries integer default null, track_changes text default null, wave boolean default null, dry_run boolean default false
) returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_view     tinydev_lib.refreshable := tinydev_lib.find_refreshable(schedule.view);
  v_job      tinydev.job;
  v_parsed   jsonb;
  v_job_id   bigint;
  v_name     text := v_view.full_name;
  v_zone     text;
  v_after    text[];
  v_wave     boolean;
  v_waves    text[] := '{}';  -- SQL that has pg_cron run the wave
  v_statement text;
  v_schedule text;
  v_command  text;
begin
  select j.* into v_job from tinydev.job j
   where j.job_id = (select c.jobid from cron.job c where c.username = current_user and c.database = current_database() and tinydev_lib.job_view(c.command) = v_view.full_name
                      order by c.jobid limit 1);
  v_job_id := v_job.job_id;
  perform tinydev_lib.check_job_options(schedule.overlap, schedule.missed, schedule.timeout_seconds, schedule.retries, schedule.track_changes);
  v_wave := coalesce(schedule.wave, v_job.wave, false);
  v_after := coalesce(tinydev_lib.check_after(v_view.view_id, v_view.full_name, schedule.after), v_job.after, '{}');
  v_schedule := coalesce(schedule.schedule, v_job.schedule, '');
  v_parsed := tinydev_lib.parse_schedule(case when btrim(v_schedule) = '' and v_after <> '{}' then tinydev_lib.no_schedule() else v_schedule end);
  v_zone := tinydev_lib.check_time_zone(coalesce(schedule.time_zone, v_job.time_zone, tinydev_lib.cron_time_zone()));
  if upper(v_zone) in ('UTC', 'GMT', 'ETC/UTC') then
    v_zone := 'UTC';
  end if;
  v_schedule := v_parsed ->> 'schedule';
  if v_wave and (v_parsed ->> 'kind' <> 'cron' or v_schedule = tinydev_lib.no_schedule()) then
    perform tinydev_lib.fault(422, 'wave_invalid', 'only a job with a schedule of five fields can be in a wave', 'leave wave out', '{"field": "wave"}');
  end if;
  v_command := format('call tinydev.refresh(%L, cause => ''schedule''', v_view.full_name);
  if v_parsed ->> 'kind' = 'interval' and tinydev_lib.cron_release() < array[1, 5] then
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
    || coalesce(', overlap => ' || quote_literal(nullif(coalesce(schedule.overlap, v_job.overlap), 'skip')), '')
    || coalesce(', missed => ' || quote_literal(nullif(coalesce(schedule.missed, v_job.missed), 'once')), '')
    || coalesce(', timeout_seconds => ' || nullif(coalesce(schedule.timeout_seconds, v_job.timeout_seconds), 0), '')
    || coalesce(', retries => ' || nullif(coalesce(schedule.retries, v_job.retries), 0), '')
    || case when v_after <> '{}' then ', after => ' || quote_literal(array_to_string(v_after, ', ')) else '' end
    || coalesce(', track_changes => ' || quote_literal(nullif(coalesce(schedule.track_changes, v_job.track_changes), 'none')), '') || case when v_wave then ', wave => true' else '' end || ')';
  if tinydev_lib.job_view(v_command) is distinct from v_view.full_name then
    perform tinydev_lib.fault(422, 'name_invalid', format('a view named %s cannot be scheduled', v_view.full_name), 'rename it without a backslash');
  end if;
  -- Below 1.5 pg_cron cuts names at 63 bytes, and a name that is taken would be overwritten.
  if octet_length(v_name) > 63 or exists (select from cron.job j where j.username = current_user and j.jobname = v_name and j.jobid is distinct from v_job_id) then
    v_name := 'tinydev ' || md5(v_view.full_name);
  end if;
  if schedule.dry_run then
    return jsonb_build_object('sql', to_jsonb(array[case when v_job_id is null
      then format('select cron.schedule_in_database(%L, %L, %L, current_database());', v_name, v_schedule, v_command)
      else format('select cron.alter_job(%s, schedule => %L, command => %L, active => true);', v_job_id, v_schedule, v_command) end] || v_waves));
  end if;
  if v_job_id is null then
    v_job_id := cron.schedule_in_database(v_name, v_schedule, v_command, current_database());
  else
    perform cron.alter_job(v_job_id, schedule => v_schedule, command => v_command, active => true);
  end if;
  foreach v_statement in array v_waves loop
    execute v_statement;
  end loop;
  return tinydev.describe_job(v_job_id);
end $$;

comment on function tinydev.schedule(text, text, text, text, text, text, integer, integer, text, boolean, boolean) is
$$Has pg_cron refresh a materialized view of yours: one plain row in cron.job, which runs as you. A view has one job; scheduling it again changes that job, keeps
its job_id and what is null here, and resumes it. schedule is five cron fields ('0 9 * * 1-5') or '5 seconds' (1 to 59), read on the clock of time_zone: a time
that the clock skips runs at the shift, one that it shows twice runs the first time.
after: names of tables and views, such as 'prices, bob.rates': it runs too when one was loaded or refreshed; '*' is what it reads now, '' nothing, and with it
the schedule may be left out. What comes of one event is a wave: each view is refreshed once, after all in the wave that it comes after, by the server;
where one fails those after it are skipped.
overlap: times that pass while a run is under way are left out (skip), made up for by one run (queue_one) or by one each (queue).
missed: times at which pg_cron did not run it are told as view.missed, and made up for by no run (none), one (once) or one each, up to 100 (all), as long as a server runs.
timeout_seconds ends a run that takes longer, 0 is no limit. retries: how often a run that failed is tried again, after 30 s, 1 min, 2 min and so on.
wave: pg_cron runs one job for all of yours that have the same schedule and zone and are in a wave, which refreshes them one after the other in a session or a few
(tinydev.refresh_wave), each after those of them that it reads: for many small views it is several times as fast. Each keeps its options, runs, events and failures.
track_changes: what view.refreshed says of the rows that changed, see tinydev.refresh.
Answers {"job_id":5,"view":"ann.v","schedule":…,"time_zone":"UTC","active":true,"command":"call …","next_runs":[…],"warnings":[…]}; with
dry_run schedules nothing and answers {"sql":[…]}.
Example: select tinydev.schedule('bdays_today', '0 9 * * 1-5', time_zone => 'Europe/Berlin');
Example: select tinydev.schedule('daily_prices', after => 'prices');
Errors: TD404 view_not_found; TD403 not_owner; TD422 schedule_invalid, time_zone_unknown, overlap_invalid, missed_invalid, timeout_invalid, retries_invalid, too_many_repeating,
after_invalid, after_cycle, track_changes_invalid, wave_invalid; TD404 relation_not_found and TD403 not_readable of after.$$;
