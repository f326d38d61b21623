create or replace function tinydev_lib.require_user(name text) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_id    oid;
  v_above name;
begin
  select r.oid into v_id from pg_roles r
   where r.rolname = require_user.name and exists (select from pg_auth_members m where m.roleid = 'tinydev_user'::regrole and m.member = r.oid);
  if not found then
    perform tinydev_lib.fault(404, 'user_not_found', format('there is no user %s', require_user.name), 'select name from tinydev.user lists them');
  end if;
  -- Before PostgreSQL 16 the right to make roles reaches all of them, so what an administrator may not become has to be refused here.
  v_above := tinydev_lib.above_user(v_id);
  if v_above is not null then
    perform tinydev_lib.fault(403, 'user_privileged', format('%I may do more than a user of TinyDevCRM%s, so only a superuser may change it', require_user.name,
        case when v_above <> require_user.name then format(', as a member of %I', v_above) else '' end),
      'ask a superuser to do it with create, alter or drop role');
  end if;
  if current_setting('server_version_num')::integer >= 160000 and not exists (
    select from pg_auth_members m where m.roleid = v_id and m.member = 'tinydev_roles'::regrole and m.admin_option
  ) then
    perform tinydev_lib.fault(403, 'role_not_ours', format('the role %I was not made here, so TinyDevCRM may not change it', require_user.name),
      format('a superuser allows it with: grant %I to tinydev_roles with admin option', require_user.name));
  end if;
end $$;

comment on function tinydev_lib.require_user(text) is
$$Raises unless a role is a user that administrators may change: TD404 user_not_found; TD403 user_privileged when it is more than a user, by
its own attributes or by what it is a member of; TD403 role_not_ours when PostgreSQL, from 16 on, does not let TinyDevCRM change it.$$;
