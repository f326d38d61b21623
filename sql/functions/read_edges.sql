create or replace function tinydev_lib.read_edges(relation_ids oid[], stop_at_stored boolean default false)
returns table (reader_class oid, reader oid, class_id oid, id oid)
language plpgsql stable rows 1000
set search_path = pg_catalog, pg_temp
set jit = off
as $$
#variable_conflict use_column
declare
  v_relations      oid[] := read_edges.relation_ids;
  v_functions      oid[] := '{}';
  v_seen_relations oid[] := '{}';
  v_seen_functions oid[] := '{}';
  v_reader_classes oid[];
  v_readers        oid[];
  v_classes        oid[];
  v_ids            oid[];
  v_built_in       oid[] := array(select p.oid from pg_proc p where p.oid < 16384 and p.proname ~ '_to_xml|^ts_' and tinydev_lib.hides_reads(p.oid));
begin
  -- Plain views and functions can be replaced, and so read themselves in a circle: nothing is looked at twice.
  loop
    with reader as materialized (
      select 'pg_class'::regclass::oid as class_id, w.ev_class as id, 'pg_rewrite'::regclass::oid as code_class, w.oid as code, w.ev_action::text as tree
        from pg_rewrite w join pg_class c on c.oid = w.ev_class
       where w.ev_class = any (v_relations) and w.ev_type = '1' and c.relkind in ('v', 'm')
      union all
      -- Before PostgreSQL 14 there is no column prosqlbody.
      select 'pg_proc'::regclass, p.oid, 'pg_proc'::regclass, p.oid, to_jsonb(p) ->> 'prosqlbody'
        from pg_proc p join pg_language l on l.oid = p.prolang
       where p.oid = any (v_functions) and l.lanname = 'sql' and p.prosrc = ''
    ), needed as materialized (
      select r.class_id as reader_class, r.id as reader, d.refclassid as class_id, d.refobjid as id
        from reader r join pg_depend d on d.classid = r.code_class and d.objid = r.code and d.deptype = 'n'
       where d.refclassid in ('pg_class'::regclass, 'pg_proc'::regclass, 'pg_operator'::regclass)
    ), called as materialized (
      select n.reader_class, n.reader, case n.class_id when 'pg_operator'::regclass then o.oprcode::oid else n.id end as id
        from needed n left join pg_operator o on n.class_id = 'pg_operator'::regclass and o.oid = n.id
       where n.class_id in ('pg_proc'::regclass, 'pg_operator'::regclass)
      union
      -- pg_depend does not list what came with PostgreSQL.
      select r.class_id, r.id, b.id
        from reader r join unnest(v_built_in) b(id) on strpos(r.tree, ':funcid ' || b.id || ' ') > 0
    ), step as (
      select n.reader_class, n.reader, n.class_id, case when c.relispartition then pg_partition_root(c.oid)::oid else c.oid end as id
        from needed n join pg_class c on c.oid = n.id
       where n.class_id = 'pg_class'::regclass and c.relkind in ('r', 'p', 'f', 'v', 'm')
      union
      -- Children are read with their parent.
      select 'pg_class'::regclass, i.inhparent, 'pg_class'::regclass, i.inhrelid
        from pg_inherits i join pg_class c on c.oid = i.inhrelid
       where i.inhparent = any (v_relations) and c.relkind in ('r', 'p', 'f') and not c.relispartition
      union
      select f.reader_class, f.reader, 'pg_proc'::regclass, f.id
        from (
          select c.* from called c
          union
          select c.reader_class, c.reader, unnest(array[a.aggtransfn, a.aggfinalfn, a.aggcombinefn, a.aggmtransfn, a.aggminvtransfn, a.aggmfinalfn]::oid[])
            from called c join pg_aggregate a on a.aggfnoid = c.id
        ) f
        join pg_proc p on p.oid = f.id
        join pg_language l on l.oid = p.prolang
         -- Of functions that come compiled only those count that may read what nobody sees.
       where p.oid >= 16384 and l.lanname not in ('c', 'internal') or tinydev_lib.hides_reads(p.oid)
    )
    select array_agg(s.reader_class), array_agg(s.reader), array_agg(s.class_id), array_agg(s.id)
      into v_reader_classes, v_readers, v_classes, v_ids
      from step s
     where (s.reader_class, s.reader) <> (s.class_id, s.id);
    return query select * from unnest(v_reader_classes, v_readers, v_classes, v_ids);
    v_seen_relations := v_seen_relations || v_relations;
    v_seen_functions := v_seen_functions || v_functions;
    v_relations := array(
      select s.id from unnest(v_classes, v_ids) s(class_id, id) join pg_class c on c.oid = s.id
       where s.class_id = 'pg_class'::regclass and not (read_edges.stop_at_stored and c.relkind = 'm')
      except select unnest(v_seen_relations));
    v_functions := array(
      select s.id from unnest(v_classes, v_ids) s(class_id, id) where s.class_id = 'pg_proc'::regclass
      except select unnest(v_seen_functions));
    exit when v_relations = '{}' and v_functions = '{}';
  end loop;
end $$;

comment on function tinydev_lib.read_edges(oid[], boolean) is
$$What relations read, and what that reads, transitively: one row for each pair, with objects as class (pg_class or pg_proc) and oid. A view reads
relations and calls functions; a function reads what its body does, where that was parsed when it was made; a table reads those that inherit
from it. Partitions count as their table. stop_at_stored looks through plain views and functions only, not into materialized views that
are read. Looks at the catalogues only, and does not hide what you may not read.$$;
