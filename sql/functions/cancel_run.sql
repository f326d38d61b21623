create or replace function tinydev.cancel_run(run_id bigint, dry_run boolean default false) returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_run    tinydev.run;
  v_answer jsonb;
begin
  select * into v_run from tinydev.run r where r.run_id = cancel_run.run_id;
  if not found then
    perform tinydev_lib.fault(404, 'run_not_found', format('there is no run %s', coalesce(cancel_run.run_id::text, 'null')), 'select * from tinydev.run order by run_id desc lists those you may see');
  end if;
  if v_run.owner <> current_user and not pg_has_role(current_user, 'tinydev_admin', 'member') then
    perform tinydev_lib.require_owner('run ' || v_run.run_id, v_run.owner);
  end if;
  if v_run.status <> 'running' then
    perform tinydev_lib.fault(409, 'run_ended', format('run %s is not under way: %s', v_run.run_id, v_run.status));
  end if;
  if cancel_run.dry_run then
    return tinydev_lib.plan(array[format('select tinydev.cancel_run(%s)', v_run.run_id)]);
  end if;
  insert into tinydev_lib.own_request (role_name, verb, arguments) values (current_user, 'cancel_run', jsonb_build_object('run_id', v_run.run_id))
  returning answer into v_answer;
  return v_answer;
end $$;

comment on function tinydev.cancel_run(bigint, boolean) is
$$Cancels a run of yours that is under way, for administrators anybody's: it fails with the SQLSTATE 57014 and is not tried again. What a cancel does not end within 10 s is terminated.
Answers {"run_id":7,"view":"ann.v","cancelled":true}; with dry_run {"sql":[…]}.
Errors: TD404 run_not_found; TD403 not_owner; TD409 run_ended.$$;

create or replace function tinydev_impl.stop_run(p_role name, p_arguments jsonb) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_run tinydev_impl.run;
begin
  update tinydev_impl.run r set cancel_reason = 'user', cancelled_by = p_role, cancelled_at = clock_timestamp()
   where r.run_id = (p_arguments ->> 'run_id')::bigint and r.status = 'running' and r.cancel_reason is null
     and (r.owner = p_role or exists (select from pg_roles a where a.rolname = p_role and pg_has_role(a.oid, 'tinydev_admin', 'member')))
  returning * into v_run;
  return jsonb_build_object('run_id', (p_arguments ->> 'run_id')::bigint, 'view', v_run.view, 'cancelled', v_run.run_id is not null and exists (
    select from pg_stat_get_activity(v_run.pid) a where a.backend_start = v_run.backend_start and pg_cancel_backend(a.pid)));
end $$;

comment on function tinydev_impl.stop_run(name, jsonb) is 'What tinydev.cancel_run does.';
