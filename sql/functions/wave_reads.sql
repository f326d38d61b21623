create or replace function tinydev_impl.wave_reads(p_members oid[], p_reader_classes oid[], p_readers oid[], p_classes oid[], p_ids oid[]) returns table (member oid, reads oid)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  with recursive edge as (
    select * from unnest(p_reader_classes, p_readers, p_classes, p_ids) e(reader_class, reader, class_id, id)
  ), reached(member, class_id, id) as (
    select e.reader, e.class_id, e.id from edge e where e.reader_class = 'pg_class'::regclass and e.reader = any (p_members)
    union
    select r.member, e.class_id, e.id
      from reached r join edge e on e.reader_class = r.class_id and e.reader = r.id
     where not (r.class_id = 'pg_class'::regclass and r.id = any (p_members))
  )
  select r.member, r.id from reached r where r.class_id = 'pg_class'::regclass and r.id = any (p_members) and r.id <> r.member
$$;

comment on function tinydev_impl.wave_reads(oid[], oid[], oid[], oid[], oid[]) is
$$Which members read which others, through what is no member, by the edges that tinydev_lib.read_edges gives, as arrays of its columns.$$;
