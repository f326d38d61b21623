-- runs as: installer
create or replace function tinydev_lib.put_user(name text, admin boolean, limits jsonb, reuse boolean, dry_run boolean) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '10s'
as $$
declare
  v_role      text := quote_ident(put_user.name);
  v_read_all  boolean;
  v_sql       text[];
  v_statement text;
begin
  if put_user.name is null or put_user.name !~ '^[a-z][a-z0-9_]{0,62}$' or put_user.name ~ '^(pg_|tinydev)'
     or put_user.name in ('public', 'everyone', 'cron', 'none', 'information_schema') then
    perform tinydev_lib.fault(422, 'user_name_invalid', format('%L cannot be the name of a user', put_user.name),
      'use 1 to 63 of a-z, 0-9 and _, beginning with a letter; not pg_… nor tinydev…');
  end if;
  -- One administrator changes users at a time.
  select i.read_all into v_read_all from tinydev_impl.instance i for update;
  if exists (select from pg_roles r where r.rolname = put_user.name) then
    perform tinydev_lib.fault(409, 'name_taken', format('there is a role %s already', put_user.name), 'choose another name');
  end if;
  if exists (select from pg_namespace n where n.nspname = put_user.name) then
    perform tinydev_lib.fault(409, 'name_taken', format('there is a schema %s already', put_user.name), 'choose another name, or drop the schema');
  end if;
  if not coalesce(put_user.reuse, false) and tinydev_impl.is_remembered(put_user.name) then
    perform tinydev_lib.fault(409, 'name_retired', format('a former user was named %s, whose events and loads a new one of the name would see', put_user.name),
      'choose another name, or say reuse => true when it is the same person');
  end if;
  v_sql := array[format('create role %s login', v_role), format('grant tinydev_user to %s', v_role)];
  if put_user.admin then
    v_sql := v_sql || format('grant tinydev_admin to %s', v_role);
  end if;
  -- Tokens and trust of a role that plain SQL dropped are not the new one's.
  v_sql := v_sql || format('select tinydev_impl.forget_user(%L)', put_user.name);
  v_sql := v_sql || tinydev_lib.limit_statements(put_user.name,
    '{"connections": 0, "work_mem_mb": 0, "temp_file_mb": 0, "idle_transaction_seconds": 0}' || coalesce(put_user.limits, '{}'));
  -- A schema can be given only to a role that one is a member of.
  v_sql := v_sql || format('grant %s to tinydev_roles', v_role) || format('create schema %s authorization %1$s', v_role);
  if v_read_all then
    v_sql := v_sql || format('grant usage on schema %s to tinydev_user', v_role)
      || format('alter default privileges for role %s in schema %1$s grant select on tables to tinydev_user', v_role);
  end if;
  v_sql := v_sql || format('revoke %s from tinydev_roles', v_role);
  if put_user.reuse then
    v_sql := v_sql || format('delete from tinydev_impl.dropped_user where role_name = %L', put_user.name);
  end if;
  v_sql := v_sql || format('select tinydev_impl.add_notices(%L)', put_user.name);
  if put_user.dry_run then
    return tinydev_lib.plan(v_sql);
  end if;
  foreach v_statement in array v_sql loop
    execute v_statement;
  end loop;
  perform tinydev_impl.audit('create user', put_user.name, p_detail => jsonb_build_object('admin', coalesce(put_user.admin, false), 'reuse', coalesce(put_user.reuse, false)));
  return '{}';
end $$;

alter function tinydev_lib.put_user(text, boolean, jsonb, boolean, boolean) owner to tinydev_roles;

comment on function tinydev_lib.put_user(text, boolean, jsonb, boolean, boolean) is
$$What tinydev.create_user does, with the right to make roles. For administrators.$$;
