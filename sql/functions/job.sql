create or replace view tinydev.job with (security_barrier) as
select j.jobid as job_id,
       j.jobname::text as name,
       j.username::name as owner,
       s.view,
       case when s.view is null or i.seconds is null then j.schedule else i.seconds || case i.seconds when 1 then ' second' else ' seconds' end end as schedule,
       tinydev_lib.cron_time_zone() as time_zone,
       j.active,
       s.view is not null as is_managed,
       j.command
  from cron.job j,
       lateral (select tinydev_lib.job_subject(j.username, j.command) as view) s,
       lateral (select tinydev_lib.job_interval(j.command) as seconds) i
 where j.database = pg_catalog.current_database() and j.username <> 'tinydev_server'
   and (j.username = current_user
        or pg_catalog.pg_has_role(current_user, 'tinydev_admin', 'member')
        or tinydev_lib.may_read(s.view));

grant select on tinydev.job to tinydev_user;

comment on view tinydev.job is
$$The rows of cron.job that are yours or refresh a view that you may read, for administrators all but the system's own. Rows that tinydev.schedule did not write have is_managed false.$$;
comment on column tinydev.job.job_id     is 'cron.job.jobid; stays when the job is rescheduled';
comment on column tinydev.job.owner      is 'role that the job runs as';
comment on column tinydev.job.view       is 'what it refreshes, as workspace.name; null when unmanaged';
comment on column tinydev.job.schedule   is 'five cron fields, or an interval such as 5 seconds';
comment on column tinydev.job.time_zone  is 'zone in which the schedule is read';
comment on column tinydev.job.active     is 'false while paused';
comment on column tinydev.job.is_managed is 'whether tinydev.schedule made it';
comment on column tinydev.job.command    is 'the SQL that pg_cron runs';
