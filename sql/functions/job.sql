create or replace view tinydev.job with (security_barrier) as
select j.jobid as job_id,
       j.jobname::text as name,
       j.username::name as owner,
       s.view,
       case when s.view is null then j.schedule
            when a.arguments[2] is not null then a.arguments[2] || case a.arguments[2] when '1' then ' second' else ' seconds' end
            else coalesce(a.arguments[3], case when a.arguments[9] is null or j.schedule <> tinydev_lib.no_schedule() then j.schedule end) end as schedule,
       case when s.view is null then tinydev_lib.cron_time_zone() else coalesce(a.arguments[4], tinydev_lib.cron_time_zone()) end as time_zone,
       j.active,
       s.view is not null as is_managed,
       j.command,
       case when s.view is not null then a.arguments[5] end as overlap,
       case when s.view is not null then a.arguments[6] end as missed,
       case when s.view is not null then a.arguments[7]::integer end as timeout_seconds,
       case when s.view is not null then a.arguments[8]::integer end as retries,
       t.last_run_id, t.last_status, t.last_started_at, t.last_ended_at, t.failures,
       case t.extra_cause when 'retry' then t.extra_at end as retry_at,
       case when s.view is not null then tinydev_lib.split_names(replace(a.arguments[9], '''''', '''')) end as after,
       case when s.view is not null then a.arguments[10] end as track_changes,
       case when s.view is not null then a.arguments[11] is not null end as wave
  from cron.job j
  left join tinydev_impl.job_state t on t.job_id = j.jobid,
       lateral (select tinydev_lib.job_subject(j.username, j.command) as view offset 0) s,
       -- Each once, not for each column.
       lateral (select tinydev_lib.job_arguments(j.command) as arguments offset 0) a
 where j.database = pg_catalog.current_database() and j.username <> 'tinydev_server'
   and (j.username = current_user
        or pg_catalog.pg_has_role(current_user, 'tinydev_admin', 'member')
        or tinydev_lib.may_read(s.view));

grant select on tinydev.job to tinydev_user;

comment on view tinydev.job is
$$The rows of cron.job that are yours or refresh a view that you may read, for administrators all but the system's own. Rows that tinydev.schedule did not write have is_managed false.$$;
comment on column tinydev.job.job_id          is 'cron.job.jobid; stays when the job is rescheduled';
comment on column tinydev.job.owner           is 'role that the job runs as';
comment on column tinydev.job.view            is 'what it refreshes, as workspace.name; null when unmanaged';
comment on column tinydev.job.schedule        is 'five cron fields, or an interval such as 5 seconds; null for a job that only runs after others';
comment on column tinydev.job.time_zone       is 'zone in which the schedule is read';
comment on column tinydev.job.active          is 'false while paused';
comment on column tinydev.job.is_managed      is 'whether tinydev.schedule made it';
comment on column tinydev.job.command         is 'the SQL that pg_cron runs';
comment on column tinydev.job.overlap         is 'what becomes of a time that passes while a run is under way: skip, queue_one, queue';
comment on column tinydev.job.missed          is 'what becomes of times at which pg_cron did not run it: none, once, all';
comment on column tinydev.job.timeout_seconds is 'how long a run may take; null for no limit';
comment on column tinydev.job.retries         is 'how often a run that failed is tried again';
comment on column tinydev.job.last_status     is 'of the last run: running, succeeded, failed';
comment on column tinydev.job.failures        is 'how many runs failed one after the other';
comment on column tinydev.job.retry_at        is 'when the last run is tried again';
comment on column tinydev.job.after           is 'tables and views after which it runs too: when one was loaded or refreshed; null for none';
comment on column tinydev.job.track_changes   is 'what its events say of the rows that changed: none, counts, keys, rows';
comment on column tinydev.job.wave            is 'whether it is refreshed in a wave: pg_cron runs tinydev.refresh_wave for all jobs of its owner, schedule and zone that are';
