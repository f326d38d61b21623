create or replace function tinydev_lib.called_functions(class_id oid, object_id oid, tree text) returns setof oid
language sql stable rows 20
set search_path = pg_catalog, pg_temp
as $$
  with named as (
    select d.refobjid as id
      from pg_depend d
     where d.classid = called_functions.class_id and d.objid = called_functions.object_id and d.refclassid = 'pg_proc'::regclass
    union
    select o.oprcode
      from pg_depend d join pg_operator o on o.oid = d.refobjid
     where d.classid = called_functions.class_id and d.objid = called_functions.object_id and d.refclassid = 'pg_operator'::regclass
    union
    select m[1]::oid from regexp_matches(called_functions.tree, ':(?:funcid|opfuncid|aggfnoid|winfnoid) ([0-9]+)', 'g') m
    union
    select o.oprcode from regexp_matches(called_functions.tree, ':opno ([0-9]+)', 'g') m join pg_operator o on o.oid = m[1]::oid
  )
  select n.id from named n where n.id <> 0
  union
  select i.id
    from named n
    join pg_aggregate a on a.aggfnoid = n.id and a.aggfnoid::oid >= 16384,
         unnest(array[a.aggtransfn, a.aggfinalfn, a.aggcombinefn, a.aggserialfn, a.aggdeserialfn, a.aggmtransfn, a.aggminvtransfn, a.aggmfinalfn]::oid[]) i(id)
   where i.id <> 0
$$;

comment on function tinydev_lib.called_functions(oid, oid, text) is
$$The functions that an object's expression calls, by name, operator or aggregate. pg_depend knows those of users, but not the ones that
came with PostgreSQL; these stand in the stored expression (tree).$$;
