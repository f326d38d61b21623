create or replace function tinydev_lib.held_roles(role oid) returns setof oid
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  with recursive held (id) as (
    select held_roles.role union select m.roleid from pg_auth_members m join held h on m.member = h.id
  )
  select h.id from held h
$$;

comment on function tinydev_lib.held_roles(oid) is 'A role and all that it is a member of, directly or not: what it can do, or become by SET ROLE.';
