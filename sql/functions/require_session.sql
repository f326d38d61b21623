create or replace function tinydev_impl.require_session(p_role name) returns void
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_id    oid;
  v_above name;
begin
  -- pg_has_role calls a superuser a member of everything.
  select r.oid into v_id from pg_auth_members m join pg_roles r on r.oid = m.member
   where m.roleid = 'tinydev_user'::regrole and r.rolname = p_role and r.rolcanlogin;
  if not found then
    perform tinydev_lib.fault(403, 'not_a_user', format('%I is not a user of TinyDevCRM', p_role), 'users are roles that may log in, and members of tinydev_user');
  end if;
  select r.rolname into v_above from tinydev_lib.held_roles(v_id) h(id) join pg_roles r on r.oid = h.id
   where r.rolsuper or r.rolcreaterole or r.rolbypassrls or r.rolreplication
      or r.rolname in ('pg_execute_server_program', 'pg_read_server_files', 'pg_write_server_files', 'tinydev_owner', 'tinydev_reader', 'tinydev_roles', 'tinydev_server')
   order by h.id <> v_id, 1 limit 1;
  if found then
    perform tinydev_lib.fault(403, 'not_a_user', format('%I may do more than a user of TinyDevCRM%s, and so has no session here', p_role,
        case when v_above <> p_role then format(', as a member of %I', v_above) else '' end),
      'users have none of superuser, createrole, bypassrls and replication, nor are they members of a role that has, or that reaches files and programs');
  end if;
end $$;

comment on function tinydev_impl.require_session(name) is
$$Raises TD403 not_a_user unless the server may open sessions as the role.$$;

grant execute on function tinydev_impl.require_session(name) to tinydev_roles;
