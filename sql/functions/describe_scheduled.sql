create or replace function tinydev_lib.describe_scheduled(job_id bigint) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_job jsonb := tinydev.describe_job(describe_scheduled.job_id);
begin
  return v_job || jsonb_build_object('warnings', (v_job -> 'warnings') || tinydev_lib.crowd_warnings(
    v_job ->> 'schedule', v_job ->> 'time_zone', array(select r::timestamptz from jsonb_array_elements_text(v_job -> 'next_runs') r), describe_scheduled.job_id));
end $$;

comment on function tinydev_lib.describe_scheduled(bigint) is
$$A job as tinydev.describe_job gives it, with a warning when many others are due with it; that looks at all jobs, which lists of jobs do not.$$;
