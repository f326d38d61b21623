create or replace function tinydev_lib.find_job(job_id bigint) returns tinydev.job
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_job tinydev.job;
begin
  select * into v_job from tinydev.job j where j.job_id = find_job.job_id;
  if not found then
    perform tinydev_lib.fault(404, 'job_not_found', format('there is no job %s', coalesce(find_job.job_id::text, 'null')), 'select * from tinydev.job lists those you may see');
  end if;
  return v_job;
end $$;

comment on function tinydev_lib.find_job(bigint) is 'A job that you may see. Errors: TD404 job_not_found.';
