create or replace function tinydev_lib.above_user(role oid) returns name
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  select r.rolname from tinydev_lib.held_roles(above_user.role) h(id) join pg_roles r on r.oid = h.id
   where r.rolsuper or r.rolcreaterole or r.rolbypassrls or r.rolreplication
      or r.rolname like E'pg\\_%'
      or (r.rolname like E'tinydev\\_%' and r.rolname not in ('tinydev_user', 'tinydev_admin'))
   order by h.id <> above_user.role, 1 limit 1
$$;

comment on function tinydev_lib.above_user(oid) is
$$What makes a role more than a user of TinyDevCRM: itself or a role that it is a member of, directly or not, that is a superuser, makes
roles, bypasses row security, replicates, is one of PostgreSQL's own (pg_read_all_data), or of TinyDevCRM's. Null for a plain user.$$;
