create or replace function tinydev.pause_jobs(active boolean default false, dry_run boolean default false) returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_jobs bigint[] := array(select j.job_id from tinydev.job j where j.owner = current_user and j.is_managed and j.active is distinct from pause_jobs.active order by j.job_id);
begin
  if pause_jobs.dry_run then
    return jsonb_build_object('sql', coalesce((
      select jsonb_agg(format('select cron.alter_job(%s, active => %s);', j, case when pause_jobs.active then 'true' else 'false' end) order by j) from unnest(v_jobs) j), '[]'));
  end if;
  perform cron.alter_job(j, active => pause_jobs.active) from unnest(v_jobs) j;
  return jsonb_build_object('jobs', v_jobs, 'active', pause_jobs.active);
end $$;

comment on function tinydev.pause_jobs(boolean, boolean) is
$$Pauses all jobs of yours that tinydev.schedule made; with active => true resumes all of them. Answers {"jobs":[5,6],"active":false} with those that were changed; with dry_run
{"sql":[…]}. Example: select tinydev.pause_jobs();$$;
