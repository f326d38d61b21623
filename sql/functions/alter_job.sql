create or replace function tinydev.alter_job(
  job_id bigint, schedule text default null, time_zone text default null, active boolean default null, after text default null,
  overlap text default null, missed text default null, timeout_seconds integer default null, retries integer default null, track_changes text default null, wave boolean default null, dry_run boolean default false
) returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_job    tinydev.job := tinydev_lib.find_own_job(alter_job.job_id);
  v_answer jsonb := jsonb_build_object('sql', '[]'::jsonb);
  v_active boolean := coalesce(alter_job.active, v_job.active);
begin
  if num_nonnulls(alter_job.schedule, alter_job.time_zone, alter_job.after, alter_job.overlap, alter_job.missed, alter_job.timeout_seconds, alter_job.retries, alter_job.track_changes, alter_job.wave) > 0 then
    v_answer := tinydev.schedule(v_job.view, alter_job.schedule, alter_job.time_zone, alter_job.after, alter_job.overlap, alter_job.missed, alter_job.timeout_seconds,
      alter_job.retries, alter_job.track_changes, alter_job.wave, alter_job.dry_run);
  end if;
  if alter_job.dry_run then
    return jsonb_build_object('sql', v_answer -> 'sql' || to_jsonb(format('select cron.alter_job(%s, active => %s);', v_job.job_id, case when v_active then 'true' else 'false' end)));
  end if;
  perform cron.alter_job(v_job.job_id, active => v_active);
  return tinydev.describe_job(v_job.job_id);
end $$;

comment on function tinydev.alter_job(bigint, text, text, boolean, text, text, text, integer, integer, text, boolean, boolean) is
$$Changes a job of yours: pauses (active => false), resumes (true), reschedules, and what else tinydev.schedule takes. What is null stays. What passes while it is paused is not missed.
Answers as tinydev.schedule.
Example: select tinydev.alter_job(5, active => false);
Errors: TD404 job_not_found; TD403 not_owner; TD422 job_unmanaged and those of tinydev.schedule.$$;
