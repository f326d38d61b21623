create or replace function tinydev_lib.say_grantee(role_id oid) returns text
language sql stable
as $$
  select case when role_id operator(pg_catalog.=) 0::pg_catalog.oid then 'public'
              when pg_catalog.pg_get_userbyid(role_id) operator(pg_catalog.=) 'tinydev_user' then 'everyone'
              else pg_catalog.pg_get_userbyid(role_id)::text end
$$;

comment on function tinydev_lib.say_grantee(oid) is 'How one says with whom something is shared: a role''s name, everyone for the group of all users, public for all roles.';
