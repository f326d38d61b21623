create or replace function tinydev_lib.find_own_job(job_id bigint) returns tinydev.job
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_job tinydev.job := tinydev_lib.find_job(find_own_job.job_id);
begin
  if not v_job.is_managed then
    perform tinydev_lib.fault(422, 'job_unmanaged', format('job %s was not made by tinydev.schedule', v_job.job_id),
      'change it with cron.alter_job or cron.unschedule');
  end if;
  perform tinydev_lib.require_owner('job ' || v_job.job_id, v_job.owner);
  return v_job;
end $$;

comment on function tinydev_lib.find_own_job(bigint) is
$$A job of yours that tinydev.schedule made. Errors: TD404 job_not_found; TD403 not_owner; TD422 job_unmanaged.$$;
