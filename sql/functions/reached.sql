create or replace function tinydev_lib.reached(relation_id oid, access text)
returns table (id oid, how text)
language sql stable rows 20
set search_path = pg_catalog, pg_temp
as $$
  with recursive found(id, how) as (
    select reached.relation_id, reached.access
    union
    select next.id, next.how
      from found f
     cross join lateral (
       -- What a plain view reads, and the materialized view that is refreshed.
       select d.refobjid as id, 'read'::text as how
         from pg_class c
         join pg_rewrite w on w.ev_class = c.oid and w.ev_type = '1'
         join pg_depend d on d.classid = 'pg_rewrite'::regclass and d.objid = w.oid and d.refclassid = 'pg_class'::regclass
        where c.oid = f.id and (c.relkind = 'v' or f.how = 'refresh') and d.refobjid <> f.id
       union all
       -- Children are read with their parent; partitions are written through it.
       select i.inhrelid, case when c.relispartition then f.how else 'read' end
         from pg_inherits i join pg_class c on c.oid = i.inhrelid
        where i.inhparent = f.id
       union all
       -- A foreign key looks into the table that it refers to.
       select k.confrelid, 'read'
         from pg_constraint k
        where k.conrelid = f.id and k.contype = 'f' and f.how = 'write'
     ) next
  )
  select f.id, f.how from found f join pg_class c on c.oid = f.id where c.relkind in ('r', 'p', 'f', 'v', 'm')
$$;

comment on function tinydev_lib.reached(oid, text) is
$$The relations that PostgreSQL touches when a relation is read, written to or refreshed, and how: 'read', 'write', 'refresh'.$$;
