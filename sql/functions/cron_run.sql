create or replace view tinydev_lib.cron_run with (security_barrier) as
select d.runid as run_id, d.jobid as job_id, null::text as view, d.status, d.start_time as started_at, d.end_time as ended_at,
       (pg_catalog.date_part('epoch', d.end_time - d.start_time) * 1000)::bigint as duration_ms, d.return_message as message, d.username::name as owner
  from cron.job_run_details d
 where d.database = pg_catalog.current_database() and d.username <> 'tinydev_server'
   and (d.username = current_user or pg_catalog.pg_has_role(current_user, 'tinydev_admin', 'member'))
   -- Most runs are recorded, and to look for that is cheaper than to look at what they run.
   and case when d.command not like 'call tinydev.refresh(%' then true
            when exists (select from tinydev_impl.run r where r.cron_run_id = d.runid) then false
            else tinydev_lib.job_subject(d.username, d.command) is null end;

grant select on tinydev_lib.cron_run to tinydev_user, tinydev_reader;

comment on view tinydev_lib.cron_run is
$$What pg_cron ran by commands that tinydev.schedule did not write. Of no view, so that who asks for a view's runs does not look through all these.$$;
