create or replace function tinydev_impl.track_jobs() returns void
language sql security definer
set search_path = pg_catalog, pg_temp
as $$
  select tinydev_impl.put_job_state(j.jobid, j.username::name, j.schedule, j.command, j.active) from cron.job j
   where j.database = current_database() and tinydev_lib.job_arguments(j.command) is not null and not exists (select from tinydev_impl.job_state s where s.job_id = j.jobid and s.active = j.active);
  -- pg_cron deletes a job without firing triggers.
  delete from tinydev_impl.job_state s
   where s.job_id in (select o.job_id from tinydev_impl.job_state o where not exists (select from cron.job j where j.jobid = o.job_id) for update skip locked)
$$;

comment on function tinydev_impl.track_jobs() is 'Sees to it that tinydev_impl.job_state has the jobs that there are, after a restore too.';

select tinydev_impl.track_jobs();
