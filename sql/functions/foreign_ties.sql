create or replace function tinydev_lib.foreign_ties(role name) returns text[]
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  select coalesce(array_agg(distinct t.place order by t.place), '{}')
    from (select case when d.dbid = 0 then pg_describe_object(d.classid, d.objid, 0) else format('database %s', b.datname) end as place
            from pg_shdepend d
            join pg_roles r on r.oid = d.refobjid
            left join pg_database b on b.oid = d.dbid
           where d.refclassid = 'pg_authid'::regclass and r.rolname = foreign_ties.role
             and (d.dbid <> 0 and b.datname <> current_database() or d.dbid = 0 and d.deptype = 'o')) t
$$;

comment on function tinydev_lib.foreign_ties(name) is
$$What keeps a role from being dropped that lies outside of this database: other databases where it owns something or has a right, databases
and tablespaces that it owns.$$;
