create or replace function tinydev_lib.audit_unscheduled() returns void
language sql security definer
set search_path = pg_catalog, pg_temp
as $$
  -- A user who holds this open keeps nobody else from it.
  with found as (
    select a.job_id from tinydev_impl.audited_job a
     where (a.role_name = session_user or session_user = 'tinydev_server') and not exists (select from cron.job j where j.jobid = a.job_id)
       for update skip locked
  ),
  gone as (
    delete from tinydev_impl.audited_job a using found f where a.job_id = f.job_id returning a.job_id, a.role_name
  )
  insert into tinydev_impl.audit (actor, door, action, subject, detail)
  select g.role_name, case when session_user = 'tinydev_server' then 'sql' else tinydev_impl.door() end, 'job.unscheduled', 'job ' || g.job_id,
         jsonb_build_object('job_id', g.job_id, 'owner', g.role_name, 'found_later', session_user = 'tinydev_server')
    from gone g
$$;

comment on function tinydev_lib.audit_unscheduled() is
$$Audits which of your jobs are gone from cron.job: pg_cron deletes a job without firing triggers. tinydev.unschedule calls it; what
cron.unschedule removed the hourly upkeep finds, as done by the job's owner, who alone can have (or a superuser).$$;
