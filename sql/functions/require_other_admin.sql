create or replace function tinydev_lib.require_other_admin(name text) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
  if not exists (
    select from pg_auth_members a join pg_roles r on r.oid = a.member
     where a.roleid = 'tinydev_admin'::regrole and r.rolname <> require_other_admin.name and r.rolcanlogin
       and tinydev_lib.above_user(r.oid) is null
       and exists (select from pg_auth_members m where m.roleid = 'tinydev_user'::regrole and m.member = r.oid)
  ) then
    perform tinydev_lib.fault(409, 'last_admin', format('%I is the last administrator', require_other_admin.name), 'make another user an administrator first');
  end if;
end $$;

comment on function tinydev_lib.require_other_admin(text) is 'Raises TD409 last_admin unless a user other than this one is an administrator.';
