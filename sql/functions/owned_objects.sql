create or replace function tinydev_lib.owned_objects(role name) returns table (type text, identity text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  select o.type, o.identity
    from pg_shdepend d
    join pg_roles r on r.oid = d.refobjid
    cross join lateral pg_identify_object(d.classid, d.objid, d.objsubid) o
   where d.refclassid = 'pg_authid'::regclass and r.rolname = owned_objects.role and d.deptype = 'o'
     and d.dbid = (select b.oid from pg_database b where b.datname = current_database())
     and not (o.type = 'schema' and o.name = quote_ident(owned_objects.role)) and o.type <> 'default acl'
     and coalesce(o.schema, '') !~ '^pg_(toast_)?temp'
   order by 2, 1
$$;

comment on function tinydev_lib.owned_objects(name) is
$$What a role owns in this database, but for its workspace itself and temporary tables, as PostgreSQL writes it.$$;
