create or replace function tinydev_impl.is_user(p_role name) returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
  -- pg_has_role calls a superuser a member of everything.
  select exists (select from pg_auth_members m join pg_roles r on r.oid = m.member where m.roleid = 'tinydev_user'::regrole and r.rolname = p_role)
$$;

comment on function tinydev_impl.is_user(name) is 'Whether a role was made a member of tinydev_user.';
