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
  v_above := tinydev_lib.above_user(v_id);
  if v_above is not null then
    perform tinydev_lib.fault(403, 'not_a_user', format('%I may do more than a user of TinyDevCRM%s, and so has no session here', p_role,
        case when v_above <> p_role then format(', as a member of %I', v_above) else '' end),
      'users have none of superuser, createrole, bypassrls and replication, nor are they members of a role that has, or of one of PostgreSQL''s own (pg_…)');
  end if;
end $$;

comment on function tinydev_impl.require_session(name) is
$$Raises TD403 not_a_user unless the server may open sessions as the role.$$;

grant execute on function tinydev_impl.require_session(name) to tinydev_roles;
