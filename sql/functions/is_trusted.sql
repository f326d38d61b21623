create or replace function tinydev_lib.is_trusted(owner oid) returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  select exists (
    select from pg_roles r
     where r.oid = is_trusted.owner
       and (r.rolname = current_user or r.rolsuper or r.rolname in ('tinydev_owner', 'tinydev_roles', 'tinydev_reader')
            or exists (select from tinydev.trusted t where t.owner = r.rolname)))
$$;

comment on function tinydev_lib.is_trusted(oid) is
$$Whether code of a role may run with your rights: your own, that of superusers, who can do anything anyway, TinyDevCRM's, and that
of those whom you trust. Membership in the role does not count: its other members write its code too.$$;
