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
    v_answer := tinydev_lib.schedule_job(v_job.job_id, v_job.view, alter_job.schedule, alter_job.time_zone, alter_job.after, alter_job.overlap, alter_job.missed, alter_job.timeout_seconds,
      alter_job.retries, alter_job.track_changes, alter_job.wave, alter_job.dry_run);
  end if;
  if alter_job.active and not v_job.active and tinydev_lib.once_at(coalesce(alter_job.schedule, v_job.schedule), coalesce(alter_job.time_zone, v_job.time_zone)) <= clock_timestamp() then
    perform tinydev_lib.fault(422, 'schedule_past', format('%s in %s has passed while job %s was paused', v_job.schedule, v_job.time_zone, v_job.job_id), 'give it another time, or run it with tinydev.run_job',
      jsonb_build_object('field', 'schedule', 'value', v_job.schedule));
  end if;
  if alter_job.dry_run then
    return jsonb_build_object('sql', v_answer -> 'sql' || to_jsonb(format('select cron.alter_job(%s, active => %s);', v_job.job_id, case when v_active then 'true' else 'false' end)));
  end if;
  perform cron.alter_job(v_job.job_id, active => v_active);
  return case when alter_job.schedule is not null then tinydev_lib.describe_scheduled(v_job.job_id) else tinydev.describe_job(v_job.job_id) end;
end $$;

comment on function tinydev.alter_job(bigint, text, text, boolean, text, text, text, integer, integer, text, boolean, boolean) is
$$Changes a job of yours: pauses (active => false), resumes (true), reschedules, and what else tinydev.schedule takes. What is null stays. What passes while it is paused is not missed.
A job that runs once (at 2026-12-05 14:30) can get another time, or a regular schedule where the view has no regular job; its name in cron.job stays. A regular job cannot become one
that runs once: tinydev.schedule makes that beside it.
Answers as tinydev.schedule.
Example: select tinydev.alter_job(5, active => false);
Errors: TD404 job_not_found; TD403 not_owner; TD422 job_unmanaged; TD409 schedule_taken; those of tinydev.schedule.$$;
