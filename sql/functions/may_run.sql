create or replace function tinydev_lib.may_run(p_role name, p_users jsonb) returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  select p_users is not null
     and (p_users ? p_role::text or p_users ? 'everyone'
          or exists (select from pg_roles r where r.rolname = p_role and pg_has_role(r.oid, 'tinydev_admin', 'member')))
$$;

comment on function tinydev_lib.may_run(name, jsonb) is
$$Whether a role may have a command of the server's configuration run, by the users that are named there: administrators always.$$;
