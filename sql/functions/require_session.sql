create or replace function tinydev_impl.require_session(p_role name) returns void
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  -- pg_has_role calls a superuser a member of everything.
  if not exists (select from pg_auth_members m join pg_roles r on r.oid = m.member
                  where m.roleid = 'tinydev_user'::regrole and r.rolname = p_role and r.rolcanlogin
                    and not (r.rolsuper or r.rolcreaterole or r.rolbypassrls or r.rolreplication)) then
    perform tinydev_lib.fault(403, 'not_a_user', format('%I is not a user of TinyDevCRM', p_role),
      'users are members of tinydev_user without superuser, createrole, bypassrls or replication');
  end if;
end $$;

comment on function tinydev_impl.require_session(name) is
$$Raises TD403 not_a_user unless the server may open sessions as the role.$$;

grant execute on function tinydev_impl.require_session(name) to tinydev_roles;
