create or replace function tinydev_lib.called_code(class_id oid, object_id oid, tree text)
returns table (code_class oid, id oid)
language sql stable rows 20
set search_path = pg_catalog, pg_temp
as $$
  with operators as (
    select d.refobjid as id
      from pg_depend d
     where d.classid = called_code.class_id and d.objid = called_code.object_id and d.refclassid = 'pg_operator'::regclass
    union
    select m[1]::oid from regexp_matches(called_code.tree, ':opno ([0-9]+)', 'g') m
  ), functions as (
    select d.refobjid as id
      from pg_depend d
     where d.classid = called_code.class_id and d.objid = called_code.object_id and d.refclassid = 'pg_proc'::regclass
    union
    select m[1]::oid from regexp_matches(called_code.tree, ':(?:funcid|opfuncid|aggfnoid|winfnoid) ([0-9]+)', 'g') m
    union
    select o.oprcode from operators n join pg_operator o on o.oid = n.id
  )
  select 'pg_proc'::regclass::oid, f.id from functions f where f.id <> 0
  union
  select 'pg_proc'::regclass, i.id
    from functions f
    join pg_aggregate a on a.aggfnoid = f.id and a.aggfnoid::oid >= 16384,
         unnest(array[a.aggtransfn, a.aggfinalfn, a.aggcombinefn, a.aggserialfn, a.aggdeserialfn, a.aggmtransfn, a.aggminvtransfn, a.aggmfinalfn]::oid[]) i(id)
   where i.id <> 0
  union
  select 'pg_operator'::regclass, n.id from operators n where n.id >= 16384
$$;

comment on function tinydev_lib.called_code(oid, oid, text) is
$$What an object's expression calls: the functions, by name, operator or aggregate, and the operators that did not come with PostgreSQL.
An operator is code by itself: the planner may replace it by its negator or its commutator, which its owner may add at any time. Operator
classes, estimators and all else that PostgreSQL calls unasked are superusers' to make. pg_depend knows what users made, but not what came
with PostgreSQL; that stands in the stored expression (tree).$$;
