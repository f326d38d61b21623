create or replace function tinydev.schedule(
  view text, schedule text default null, time_zone text default null, after text default null, overlap text default null, missed text default null,
  timeout_seconds integer default null, retries integer default null, track_changes text default null, wave boolean default null, dry_run boolean default false
) returns jsonb
language sql
set search_path = pg_catalog, pg_temp
as $$
  select tinydev_lib.schedule_job(null, schedule.view, schedule.schedule, schedule.time_zone, schedule.after, schedule.overlap, schedule.missed, schedule.timeout_seconds, schedule.retries,
    schedule.track_changes, schedule.wave, schedule.dry_run)
$$;

comment on function tinydev.schedule(text, text, text, text, text, text, integer, integer, text, boolean, boolean) is
$$Has pg_cron refresh a materialized view of yours: one plain row in cron.job, which runs as you. A view has one job; scheduling it again changes that job, keeps
its job_id and what is null here, and resumes it. schedule is five cron fields ('0 9 * * 1-5') or '5 seconds' (1 to 59), read on the clock of time_zone: a time
that the clock skips runs at the shift, one that it shows twice runs the first time. H and H/15 in the minute or hour field stand for a minute or hour, or an offset, at which
few jobs are due; the answer has the numbers that are chosen.
'at 2026-12-05 14:30' is a time to run once: that makes a job beside the regular one, which goes by itself when its run and its retries have ended. The same time again
changes that job.
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
Example: select tinydev.schedule('bdays_today', 'at 2026-12-05 14:30', time_zone => 'Europe/Berlin');
Errors: TD404 view_not_found; TD403 not_owner; TD422 schedule_invalid, schedule_past, time_zone_unknown, overlap_invalid, missed_invalid, timeout_invalid, retries_invalid, too_many_repeating,
dependency_invalid, dependency_cycle, track_changes_invalid, wave_invalid; TD404 relation_not_found and TD403 not_readable of after.$$;
