create or replace function tinydev_lib.type_expressions(type_ids oid[], access text)
returns table (class_id oid, object_id oid, owner oid, what text, tree text)
language sql stable rows 20
set search_path = pg_catalog, pg_temp
as $$
  with recursive types(id) as (
    select unnest(type_expressions.type_ids)
    union
    select next.id
      from types y
      join pg_type t on t.oid = y.id
     cross join lateral (
       select t.typelem as id
       union all select t.typbasetype
       union all select a.atttypid from pg_attribute a where a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped
       union all select r.rngsubtype from pg_range r where r.rngtypid = t.oid
       -- A multirange (since PostgreSQL 14) is made of its range.
       union all select r.rngtypid from pg_range r where to_jsonb(r) ->> 'rngmultitypid' = t.oid::text
     ) next
     where next.id >= 16384
  ), own as (
    select t.oid as id, t.typowner as owner, t.typdefaultbin from types y join pg_type t on t.oid = y.id where t.oid >= 16384
  )
  select 'pg_constraint'::regclass::oid, k.oid, o.owner, 'domain ' || o.id::regtype, k.conbin::text
    from own o join pg_constraint k on k.contypid = o.id
  union all
  select 'pg_type'::regclass, o.id, o.owner, 'domain ' || o.id::regtype, o.typdefaultbin::text
    from own o where o.typdefaultbin is not null and type_expressions.access = 'write'
  union all
  -- JSON is made of a value by the type's cast to json, if there is one.
  select 'pg_cast'::regclass, c.oid, o.owner, format('cast from %s to %s', c.castsource::regtype, c.casttarget::regtype), ':funcid ' || c.castfunc
    from own o join pg_cast c on o.id in (c.castsource, c.casttarget) and c.castfunc <> 0
  union all
  select 'pg_type'::regclass, o.id, o.owner, 'range ' || o.id::regtype, format(':funcid %s :funcid %s', r.rngcanonical::oid, r.rngsubdiff::oid)
    from own o join pg_range r on r.rngtypid = o.id
$$;

comment on function tinydev_lib.type_expressions(oid[], text) is
$$As tinydev_lib.expressions, for types and those that they are made of: what PostgreSQL may compute when it makes, stores or prints a value.$$;
