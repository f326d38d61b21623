create or replace view tinydev.run with (security_barrier) as
select d.runid as run_id,
       d.jobid as job_id,
       s.view,
       d.status,
       d.start_time as started_at,
       d.end_time as ended_at,
       (pg_catalog.date_part('epoch', d.end_time - d.start_time) * 1000)::bigint as duration_ms,
       case when d.username = current_user or pg_catalog.pg_has_role(current_user, 'tinydev_admin', 'member') then d.return_message end as message
  from cron.job_run_details d,
       lateral (select tinydev_lib.job_subject(d.username, d.command) as view) s
 where d.database = pg_catalog.current_database() and d.username <> 'tinydev_server'
   and (d.username = current_user
        or pg_catalog.pg_has_role(current_user, 'tinydev_admin', 'member')
        or tinydev_lib.may_read(s.view));

grant select on tinydev.run to tinydev_user;

comment on view tinydev.run is
$$What pg_cron ran, from cron.job_run_details: the runs of your jobs and of views that you may read. One run of a job that repeats within
its minute is many refreshes; tinydev.event has each.$$;
comment on column tinydev.run.status      is 'starting, running, succeeded or failed';
comment on column tinydev.run.duration_ms is 'null while it runs';
comment on column tinydev.run.message     is 'what PostgreSQL answered; only for the job''s owner and administrators';
