create or replace function tinydev_lib.dependents(relation_id oid) returns text[]
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  select coalesce(array_agg(distinct format('%I.%I', n.nspname, c.relname)), '{}')
    from pg_depend d
    join pg_rewrite r on d.classid = 'pg_rewrite'::regclass and r.oid = d.objid
    join pg_class c on c.oid = r.ev_class
    join pg_namespace n on n.oid = c.relnamespace
   where d.refclassid = 'pg_class'::regclass and d.refobjid = dependents.relation_id and c.oid <> dependents.relation_id
$$;

comment on function tinydev_lib.dependents(oid) is
$$The views that read a relation directly, as workspace.name.$$;
