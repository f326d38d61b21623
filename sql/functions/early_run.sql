create or replace view tinydev_lib.early_run with (security_barrier) as
select d.runid as run_id, d.jobid as job_id, s.view, d.status, d.start_time as started_at, d.end_time as ended_at,
       (pg_catalog.date_part('epoch', d.end_time - d.start_time) * 1000)::bigint as duration_ms,
       case when d.username = current_user or pg_catalog.pg_has_role(current_user, 'tinydev_admin', 'member') then d.return_message end as message,
       d.username::name as owner
  from cron.job_run_details d
  cross join tinydev_impl.instance i,
       lateral (select tinydev_lib.job_subject(d.username, d.command) as view) s
 where d.runid < (select coalesce(pg_catalog.min(r.run_id), 9223372036854775807) from tinydev_impl.run r where r.run_id > 0) and d.start_time < i.runs_since
   and d.database = pg_catalog.current_database() and d.username <> 'tinydev_server'
   and s.view is not null
   and (d.username = current_user
        or pg_catalog.pg_has_role(current_user, 'tinydev_admin', 'member')
        or tinydev_lib.may_read(s.view));

grant select on tinydev_lib.early_run to tinydev_user, tinydev_reader;

comment on view tinydev_lib.early_run is 'What pg_cron ran by commands that tinydev.schedule wrote before there were records in tinydev_impl.run.';
