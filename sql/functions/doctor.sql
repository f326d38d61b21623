create or replace function tinydev.doctor() returns table (check_name text, level text, subject text, message text, fix text, is_safe boolean)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  with found as materialized (
    select * from tinydev_lib.findings()
  ), known(check_name, message) as (
    values ('launcher', 'pg_cron''s launcher runs'),
           ('settings', 'the settings of pg_cron are as they should be'),
           ('canary', 'pg_cron starts jobs'),
           ('system_jobs', 'the system''s own jobs are there'),
           ('job_role', 'each job has a role that can run it'),
           ('job_database', 'each job has its database'),
           ('job_connection', 'the last run of each job could start'),
           ('sequences', 'the numbers of jobs and runs go on behind the last one'),
           ('stuck_run', 'no run hangs'),
           ('worker_slots', 'there are worker processes and connections left'),
           ('unmanaged_jobs', 'all jobs are TinyDevCRM''s'),
           ('versions', 'PostgreSQL and pg_cron are maintained and new enough'),
           ('unique_index', 'views can be read while they are refreshed'),
           ('search_path', 'no view calls a function that breaks on PostgreSQL 17'),
           ('log_size', 'logs are as small as their retention says'),
           ('notify_queue', 'the queue of notifications is short'),
           ('relay', 'events are placed'),
           ('subscriptions', 'subscriptions are delivered'),
           ('disk', 'no server has told of its disk'),
           ('clock', 'no server has told of its clock')
  )
  select a.check_name, a.level, a.subject, a.message, a.fix, a.is_safe
    from (
      select f.check_name, f.level, f.subject, f.message, f.fix, f.is_safe from found f
       where f.level <> 'ok' or not exists (select from found w where w.check_name = f.check_name and w.level in ('warn', 'error') and f.check_name <> 'log_size')
      union all
      select k.check_name, 'ok', '', k.message, null, false from known k where not exists (select from found f where f.check_name = k.check_name)
    ) a
   order by array_position(array['error', 'warn', 'info', 'ok'], a.level), a.check_name, a.subject
$$;

comment on function tinydev.doctor() is
$$Examines pg_cron, the settings, the logs and your jobs, views and subscriptions, for administrators everybody's: one row for each finding, the worst
first, and one of level ok for each check that found nothing.
  level    error: something does not work, or soon stops all; warn: look at it; info: good to know; ok
  message  what is wrong, and why
  fix      the SQL, or the command of a shell, that mends it; is_safe where tinydev.doctor_fix does so by itself
docs/doctor.md tells about each check. Example: select * from tinydev.doctor() where level in ('error', 'warn');$$;
