create or replace function tinydev.unschedule(job_id bigint, dry_run boolean default false) returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_job tinydev.job := tinydev_lib.find_own_job(unschedule.job_id);
begin
  if unschedule.dry_run then
    return jsonb_build_object('sql', jsonb_build_array(format('select cron.unschedule(%s);', v_job.job_id)));
  end if;
  perform cron.unschedule(v_job.job_id);
  perform tinydev_lib.audit_unscheduled();
  return jsonb_build_object('unscheduled', v_job.job_id, 'view', v_job.view);
end $$;

comment on function tinydev.unschedule(bigint, boolean) is
$$Removes a job of yours from cron.job; a run that is under way goes on. With dry_run removes nothing and answers {"sql":[…]}.
Errors: TD404 job_not_found; TD403 not_owner; TD422 job_unmanaged.$$;

create or replace function tinydev.unschedule(view text, dry_run boolean default false) returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_workspace name;
  v_relation  name;
  v_job_id    bigint;
begin
  select p.workspace, p.relation into v_workspace, v_relation from tinydev_lib.parse_name(unschedule.view) p;
  select j.job_id into v_job_id from tinydev.job j
   where j.job_id = any (tinydev_lib.jobs_of(format('%I.%I', v_workspace, v_relation))) and j.view = format('%I.%I', v_workspace, v_relation) and not tinydev_lib.is_once(j.command) order by j.job_id limit 1;
  if not found then
    perform tinydev_lib.fault(404, 'job_not_found', format('%I.%I has no job', v_workspace, v_relation), 'select * from tinydev.job lists those you may see');
  end if;
  return tinydev.unschedule(v_job_id, unschedule.dry_run);
end $$;

comment on function tinydev.unschedule(text, boolean) is
$$Removes the regular job of a view of yours from cron.job; jobs that run once stay, and are removed by their job_id. Example: select tinydev.unschedule('bdays_today');
Errors: as tinydev.unschedule(bigint, boolean).$$;
