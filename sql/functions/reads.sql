create or replace function tinydev_lib.reads(relation_id oid, out relations oid[], out functions oid[], out is_known boolean)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  with edge as materialized (
    select distinct e.class_id, e.id from tinydev_lib.read_edges(array[reads.relation_id], stop_at_stored => true) e
  )
  select array(select c.oid from edge e join pg_class c on c.oid = e.id where e.class_id = 'pg_class'::regclass and c.relkind <> 'v' order by c.oid),
         array(select e.id from edge e where e.class_id = 'pg_proc'::regclass order by e.id),
         not exists (select from edge e where e.class_id = 'pg_proc'::regclass and tinydev_lib.hides_reads(e.id))
$$;

comment on function tinydev_lib.reads(oid) is
$$The tables and materialized views that a view reads, itself or through plain views and functions, and the functions that it calls. is_known is
whether that is all: false when one of the functions hides what it reads, as tinydev_lib.hides_reads says.$$;
