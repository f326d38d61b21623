-- runs as: installer
create or replace function tinydev.create_user(name text, admin boolean default false) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if create_user.name is null or create_user.name !~ '^[a-z][a-z0-9_]{0,62}$' or create_user.name ~ '^(pg_|tinydev)'
     or create_user.name in ('public', 'cron', 'none', 'information_schema') then
    perform tinydev_lib.fault(422, 'user_name_invalid', format('%L cannot be the name of a user', create_user.name),
      'use 1 to 63 of a-z, 0-9 and _, beginning with a letter; not pg_… nor tinydev…');
  end if;
  if exists (select from pg_roles r where r.rolname = create_user.name) then
    perform tinydev_lib.fault(409, 'name_taken', format('there is a role %s already', create_user.name), 'choose another name');
  end if;
  if exists (select from pg_namespace n where n.nspname = create_user.name) then
    perform tinydev_lib.fault(409, 'name_taken', format('there is a schema %s already', create_user.name), 'choose another name');
  end if;
  execute format('create role %I login', create_user.name);
  execute format('grant tinydev_user to %I', create_user.name);
  if create_user.admin then
    execute format('grant tinydev_admin to %I', create_user.name);
  end if;
  -- A schema can be given only to a role that one is a member of.
  execute format('grant %I to tinydev_roles', create_user.name);
  execute format('create schema %I authorization %I', create_user.name, create_user.name);
  execute format('revoke %I from tinydev_roles', create_user.name);
  return jsonb_build_object('name', create_user.name, 'admin', create_user.admin);
end $$;

alter function tinydev.create_user(text, boolean) owner to tinydev_roles;

comment on function tinydev.create_user(text, boolean) is
$$Makes a user: a role that may log in, and its workspace, a schema of the same name. For administrators.
Errors: TD422 user_name_invalid; TD409 name_taken.$$;
