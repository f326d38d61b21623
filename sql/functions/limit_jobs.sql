-- runs as: installer
create or replace function tinydev_impl.limit_jobs() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_allowed integer;
  v_count   integer;
begin
  -- What the system paused and lets go on again was counted when it was scheduled; who changes a paused job decides about it.
  if session_user <> 'tinydev_server' then
    delete from tinydev_impl.held_job h where h.job_id = new.jobid;
  end if;
  if not new.active or session_user = 'tinydev_server' or not tinydev_impl.is_user(new.username::name)
     or (select r.rolsuper from pg_roles r where r.rolname = new.username) then
    return new;
  end if;
  select 50 * coalesce((select l.running_jobs from tinydev_impl.user_limit l where l.role_name = new.username), i.running_jobs)
    into v_allowed from tinydev_impl.instance i;
  -- Scheduling a name again replaces the job, which is seen here as if it was new.
  select count(*) into v_count from cron.job j
   where j.username = new.username and j.active and j.jobid <> new.jobid and (j.jobname is null or j.jobname is distinct from new.jobname);
  if v_count >= v_allowed then
    perform tinydev_lib.fault(422, 'jobs_too_many', format('%I has %s active jobs, and may have %s', new.username, v_count, v_allowed),
      'pause or remove some; an administrator may raise running_jobs, and 50 times as many jobs are allowed', jsonb_build_object('jobs', v_count, 'allowed', v_allowed));
  end if;
  return new;
end $$;

alter function tinydev_impl.limit_jobs() owner to tinydev_owner;

do $$
begin
  if not exists (select from pg_catalog.pg_trigger where tgrelid = 'cron.job'::pg_catalog.regclass and tgname = 't20_tinydev_limit') then
    create trigger t20_tinydev_limit before insert or update of active, username on cron.job for each row execute function tinydev_impl.limit_jobs();
  end if;
end $$;

comment on function tinydev_impl.limit_jobs() is
$$Refuses a user's active job beyond 50 times the user's running_jobs, made in psql too: each takes pg_cron's time, which is everybody's.$$;
