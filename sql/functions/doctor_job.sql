create or replace view tinydev_lib.doctor_job with (security_barrier) as
with job as (
  select j.*, r.oid as role_id, r.rolsuper, r.rolcanlogin, r.rolconnlimit, d.oid as database_id, d.datallowconn, tinydev_lib.job_subject(j.username, j.command) as view,
         coalesce(tinydev_lib.job_subject(j.username, j.command), pg_catalog.format('job %s', j.jobid)) as subject,
         pg_catalog.format('job %s%s of %s', j.jobid, coalesce(pg_catalog.format(' (%s)', j.jobname), ''), j.username) as label
    from cron.job j left join pg_catalog.pg_roles r on r.rolname = j.username left join pg_catalog.pg_database d on d.datname = j.database
   where j.username <> 'tinydev_server' and tinydev_lib.may_diagnose(j.username::name)
), recent as materialized (
  select * from (select * from cron.job_run_details order by runid desc limit 100000) d where d.username <> 'tinydev_server' and tinydev_lib.may_diagnose(d.username::name)
), last as (
  select distinct on (r.jobid) r.* from recent r order by r.jobid, r.runid desc
), mode as (
  select coalesce(tinydev_lib.doctor_setting('cron.use_background_workers'), 'off') = 'on' as by_workers, tinydev_lib.doctor_setting('cron.host') as host,
         pg_catalog.current_setting('port')::integer as port
)
select j.username::name as owner, 'job_role' as check_name, 'error' as level, j.subject,
       pg_catalog.format('%s: the role %I is gone. pg_cron''s scheduler stops at such a job when it starts the next time, and with it all jobs, of everybody', j.label, j.username) as message,
       pg_catalog.format('delete from cron.job where jobid = %s and username = %L;', j.jobid, j.username) as fix, true as is_safe
  from job j where j.role_id is null
union all
select j.username::name, 'job_role', 'error', j.subject, pg_catalog.format('%s: the role %I may not log in, so no run of it starts', j.label, j.username),
       pg_catalog.format('alter role %I login;', j.username), false
  from job j where not j.rolcanlogin and j.active
union all
select j.username::name, 'job_role', case when exists (select from tinydev_lib.doctor_version(pg_catalog.current_setting('server_version_num')::integer, '1.6', '2000-01-01') v where v.level = 'error') then 'error' else 'warn' end,
       j.subject, pg_catalog.format('%s: %I is a superuser. %s', j.label, j.username,
         case when tinydev_lib.doctor_setting('cron.enable_superuser_jobs') = 'off' then 'pg_cron does not run it (cron.enable_superuser_jobs is off)'
              else 'It runs with all rights, and so may what it calls' end),
       pg_catalog.format('select cron.unschedule(%s);  -- and schedule it as the owner of what it works on', j.jobid), false
  from job j where j.rolsuper and j.active
union all
select j.username::name, 'job_database', 'error', j.subject,
       pg_catalog.format(case when j.database_id is null then '%s: the database %I is gone, so each of its runs fails' else '%s: the database %I takes no connections, so each of its runs fails' end, j.label, j.database),
       case when j.database_id is null then pg_catalog.format('delete from cron.job where jobid = %s;', j.jobid) else pg_catalog.format('alter database %I allow_connections true;', j.database) end, false
  from job j where j.role_id is not null and j.datallowconn is not true
union all
select j.username::name, 'job_connection', 'error', j.subject,
       pg_catalog.format('%s: its last run, %s, did not start, and all that pg_cron says is "%s". %s', j.label, l.runid, l.return_message, case
         when j.rolconnlimit >= 0 and (select pg_catalog.count(*) from pg_catalog.pg_stat_activity a where a.usesysid = j.role_id) >= j.rolconnlimit
           then pg_catalog.format('%I has all the %s sessions open that it may have', j.username, j.rolconnlimit)
         when m.by_workers then 'PostgreSQL had no worker process left (max_worker_processes), or no connection (max_connections); its log says which'
         when j.nodeport <> m.port or j.nodename <> m.host then pg_catalog.format('pg_cron connects to %s, port %s, as the job says, and PostgreSQL is at %s, port %s', j.nodename, j.nodeport, m.host, m.port)
         else pg_catalog.format('pg_cron connects to %s, port %s, as %I without a password: pg_hba.conf does not let it in, PostgreSQL does not listen there, or no connection was left (max_connections); its log says which', j.nodename, j.nodeport, j.username) end),
       case
         when j.rolconnlimit >= 0 and (select pg_catalog.count(*) from pg_catalog.pg_stat_activity a where a.usesysid = j.role_id) >= j.rolconnlimit
           then pg_catalog.format('alter role %I connection limit %s;', j.username, 2 * j.rolconnlimit + 10)
         when m.by_workers then 'alter system set max_worker_processes = 64; alter system set max_connections = 200;  -- then restart PostgreSQL'
         when j.nodeport <> m.port or j.nodename <> m.host
           then pg_catalog.format('update cron.job set nodename = %L, nodeport = %s where jobid = %s;  -- as a superuser', m.host, m.port, j.jobid)
         when j.nodename like '/%' then pg_catalog.format('echo ''local %I %I trust'' >> pg_hba.conf  # before other lines that fit; then: select pg_reload_conf();', j.database, j.username)
         else pg_catalog.format('echo ''host %I %I 127.0.0.1/32 trust'' >> pg_hba.conf  # before other lines that fit; then: select pg_reload_conf();', j.database, j.username) end, false
  from job j join last l on l.jobid = j.jobid cross join mode m
 where j.active and j.rolcanlogin and j.datallowconn and l.status = 'failed'
   and l.return_message ~ '^(connection failed|connection lost|could not connect|job startup timeout|could not start background)'
union all
select d.username::name, 'stuck_run', case when not s.is_running then 'error' else 'warn' end, coalesce(j.subject, pg_catalog.format('job %s', d.jobid)),
       pg_catalog.format(case when not s.is_running then 'run %s of job %s counts as running since %s, and its process %s is gone: killed, out of memory, or from before a restore. It may hold one of pg_cron''s slots'
                              else 'run %s of job %s has been running since %s, in the process %s' end, d.runid, d.jobid, d.start_time, d.job_pid),
       case when s.is_running then pg_catalog.format('select pg_cancel_backend(%s);', d.job_pid)
            when not m.by_workers and d.start_time > pg_catalog.pg_postmaster_start_time() and j.active then 'select tinydev_impl.free_slots();'
            else pg_catalog.format('update cron.job_run_details set status = ''failed'', return_message = ''the process is gone'', end_time = now() where runid = %s;  -- as a superuser', d.runid) end,
       not s.is_running and not m.by_workers and d.start_time > pg_catalog.pg_postmaster_start_time() and j.active is true
  from recent d
  cross join mode m
  left join job j on j.jobid = d.jobid
  cross join lateral (select tinydev_lib.is_running(d.job_pid, d.start_time) as is_running) s
 where d.status in ('starting', 'connecting', 'sending', 'running') and d.end_time is null
   and d.start_time < pg_catalog.clock_timestamp() - case when not s.is_running then interval '30 s' else interval '1 hour' end
union all
select j.username::name, 'unmanaged_jobs', 'info', j.subject,
       pg_catalog.format('%s was not made by TinyDevCRM: it is left alone, and tells of nothing (%s)', j.label, pg_catalog.left(j.command, 100)), null, false
  from job j where j.view is null and j.command !~ '^call tinydev[.]refresh' and j.role_id is not null and j.database_id is not null;

grant select on tinydev_lib.doctor_job to tinydev_user, tinydev_server;

comment on view tinydev_lib.doctor_job is
$$What the doctor finds about jobs that you may know of: job_role, job_database, job_connection, stuck_run, unmanaged_jobs.$$;
