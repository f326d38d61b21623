-- runs as: installer
create or replace function tinydev_lib.change_user(name text, admin boolean, limits jsonb, dry_run boolean) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '10s'
as $$
declare
  v_role      text := quote_ident(change_user.name);
  v_is_admin  boolean;
  v_sql       text[] := '{}';
  v_statement text;
begin
  perform from tinydev_impl.instance for update;
  perform tinydev_lib.require_user(change_user.name);
  v_is_admin := exists (select from pg_auth_members m where m.roleid = 'tinydev_admin'::regrole and m.member = v_role::regrole);
  if change_user.admin and not v_is_admin then
    v_sql := v_sql || format('grant tinydev_admin to %s', v_role);
  elsif not change_user.admin and v_is_admin then
    perform tinydev_lib.require_other_admin(change_user.name);
    v_sql := v_sql || format('revoke tinydev_admin from %s', v_role);
  end if;
  v_sql := v_sql || tinydev_lib.limit_statements(change_user.name, coalesce(change_user.limits, '{}'));
  if change_user.dry_run then
    return tinydev_lib.plan(v_sql);
  end if;
  -- The user may hold a lock on itself, in a transaction that changes its own settings.
  for v_turn in 1..5 loop
    begin
      perform set_config('lock_timeout', '2s', true);
      foreach v_statement in array v_sql loop
        execute v_statement;
      end loop;
      exit;
    exception when lock_not_available or deadlock_detected or internal_error then  -- the last: tuple concurrently updated
      if v_turn = 5 then
        raise;
      end if;
      perform tinydev_impl.end_sessions(change_user.name, true);
    end;
  end loop;
  -- From 16 on a grant is taken back only as the one who gave it.
  if not change_user.admin and exists (select from pg_auth_members m where m.roleid = 'tinydev_admin'::regrole and m.member = v_role::regrole) then
    perform tinydev_lib.fault(403, 'role_not_ours', format('somebody else made %s an administrator, so TinyDevCRM may not undo it', v_role),
      format('a superuser can: revoke tinydev_admin from %s', v_role));
  end if;
  perform tinydev_impl.audit('alter user', change_user.name, p_detail => jsonb_strip_nulls(jsonb_build_object('admin', change_user.admin, 'limits', change_user.limits)));
  return '{}';
end $$;

alter function tinydev_lib.change_user(text, boolean, jsonb, boolean) owner to tinydev_roles;

comment on function tinydev_lib.change_user(text, boolean, jsonb, boolean) is
$$What tinydev.alter_user does, with the right to make roles. For administrators.$$;
