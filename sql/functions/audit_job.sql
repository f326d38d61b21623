-- runs as: installer
create or replace function tinydev_impl.audit_job() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '5s'
as $$
declare
  v_job    record;
  v_action text;
begin
  if tg_op = 'DELETE' then
    v_job := old;
  else
    v_job := new;
  end if;
  -- The system's own jobs and those of other databases are not ours to tell of; what the system pauses and removes, enforce_limits and end_jobs tell.
  if v_job.database <> current_database() or v_job.username = 'tinydev_server' or (session_user = 'tinydev_server' and tg_op in ('UPDATE', 'DELETE'))
     or not (tinydev_impl.is_user(session_user) or tinydev_impl.is_user(v_job.username::name)) then
    return null;
  end if;
  if tg_op = 'DELETE' then
    v_action := 'job.unscheduled';
    delete from tinydev_impl.audited_job where job_id = v_job.jobid;
  else
    v_action := case tg_op when 'INSERT' then 'job.scheduled' else 'job.altered' end;
    insert into tinydev_impl.audited_job (job_id, role_name) values (v_job.jobid, v_job.username)
    on conflict (job_id) do update set role_name = excluded.role_name;
  end if;
  perform tinydev_impl.audit(v_action, 'job ' || v_job.jobid, v_job.schedule || e'\n' || v_job.command,
    jsonb_build_object('job_id', v_job.jobid, 'owner', v_job.username, 'view', tinydev_lib.job_view(v_job.command), 'active', v_job.active));
  return null;
exception when others then
  perform tinydev_impl.not_audited(sqlstate, sqlerrm);
  return null;
end $$;

alter function tinydev_impl.audit_job() owner to tinydev_owner;

do $$
begin
  if not exists (select from pg_catalog.pg_trigger where tgrelid = 'cron.job'::pg_catalog.regclass and tgname = 't80_tinydev_audit') then
    create trigger t80_tinydev_audit after insert or update or delete on cron.job for each row execute function tinydev_impl.audit_job();
    insert into tinydev_impl.audited_job (job_id, role_name)
    select j.jobid, j.username from cron.job j where j.database = pg_catalog.current_database() and tinydev_impl.is_user(j.username::name);
  end if;
end $$;
