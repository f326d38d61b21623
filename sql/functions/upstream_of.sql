create or replace function tinydev_lib.upstream_of(view oid)
returns table (wave integer, relation_id oid, name text, kind text, owner name)
language plpgsql stable rows 20
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_left    oid[] := '{}';
  v_new     oid[] := array[upstream_of.view];
  v_ready   oid[];
  v_readers oid[] := '{}';
  v_reads   oid[] := '{}';
  v_id      oid;
  v_found   oid[];
begin
  while v_new <> '{}' loop
    v_left := v_left || v_new;
    v_found := '{}';
    foreach v_id in array v_new loop
      select v_readers || array_fill(v_id, array[cardinality(r.relations)]), v_reads || r.relations, v_found || r.relations
        into v_readers, v_reads, v_found from tinydev_lib.reads(v_id) r;
    end loop;
    v_new := array(select unnest(v_found) except select unnest(v_left));
  end loop;
  v_left := array_remove(v_left, upstream_of.view);
  wave := 0;
  while v_left <> '{}' loop
    -- Tables come first, and with them views that read none of the others. A circle, which a plain view that was replaced can close,
    -- has no first one: its members come together.
    v_ready := array(
      select l from unnest(v_left) l join pg_class c on c.oid = l
       where (c.relkind = 'm') = (wave > 0)
         and not exists (select from unnest(v_readers, v_reads) e(reader, id) where e.reader = l and e.id <> l and e.id = any (v_left) and c.relkind = 'm'));
    if v_ready = '{}' and wave > 0 then
      v_ready := v_left;
    end if;
    return query
      select wave, c.oid, format('%I.%I', n.nspname, c.relname), case c.relkind when 'm' then 'view' else 'table' end, pg_get_userbyid(c.relowner)
        from unnest(v_ready) r join pg_class c on c.oid = r join pg_namespace n on n.oid = c.relnamespace
       order by 3;
    v_left := array(select unnest(v_left) except select unnest(v_ready));
    wave := wave + 1;
  end loop;
end $$;

comment on function tinydev_lib.upstream_of(oid) is
$$All tables and materialized views that a view is made of, directly or not, each after those that it reads: wave 0 are the tables, wave 1 the
views that read only those, and so on, so that the views of a wave can be refreshed at the same time. Whoever owns them is said; what functions
hide is not found, see tinydev_lib.reads.$$;
