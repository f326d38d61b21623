create or replace function tinydev_lib.rights_givers(role name) returns name[]
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  select coalesce(array_agg(distinct g.rolname order by g.rolname), '{}')
    from pg_shdepend d
    join pg_roles r on r.oid = d.refobjid
    cross join lateral (
      select c.relowner as owner from pg_class c where d.classid = 'pg_class'::regclass and c.oid = d.objid
      union all select n.nspowner from pg_namespace n where d.classid = 'pg_namespace'::regclass and n.oid = d.objid
      union all select p.proowner from pg_proc p where d.classid = 'pg_proc'::regclass and p.oid = d.objid
      union all select t.typowner from pg_type t where d.classid = 'pg_type'::regclass and t.oid = d.objid
      union all select a.defaclrole from pg_default_acl a where d.classid = 'pg_default_acl'::regclass and a.oid = d.objid
      union all select c.relowner from pg_policy p join pg_class c on c.oid = p.polrelid where d.classid = 'pg_policy'::regclass and p.oid = d.objid
    ) o
    join pg_roles g on g.oid = o.owner
   where d.refclassid = 'pg_authid'::regclass and r.rolname = rights_givers.role and d.deptype in ('a', 'r') and g.oid <> r.oid
     and d.dbid = (select b.oid from pg_database b where b.datname = current_database())
     and exists (select from pg_auth_members m where m.roleid = 'tinydev_user'::regrole and m.member = g.oid)
$$;

comment on function tinydev_lib.rights_givers(name) is
$$The users who gave a role rights on what is theirs, or named it in a row security policy, in this database.$$;
