create or replace function tinydev_lib.tracked_rows(view_id oid, full_name text, track_changes text) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  select format('select jsonb_build_object(%s) as key, %s as lacks, md5((t.*)::text) as image, %s as data from %s t', k.pairs,
           case when to_jsonb(i) ->> 'indnullsnotdistinct' = 'true' then 'false' else format('num_nulls(%s) > 0', k.columns) end,
           case tracked_rows.track_changes when 'rows' then 'case when pg_column_size(t.*) <= 65536 then to_jsonb(t.*) end' else 'null::jsonb' end, tracked_rows.full_name)
    from pg_index i,
         lateral (select string_agg(format('%L, t.%I', a.attname, a.attname), ', ' order by p.n) as pairs, string_agg(format('t.%I', a.attname), ', ' order by p.n) as columns
                    from unnest(i.indkey::int2[]) with ordinality p(attnum, n) join pg_attribute a on a.attrelid = i.indrelid and a.attnum = p.attnum
                   where p.n <= i.indnkeyatts) k
   where i.indrelid = tracked_rows.view_id and i.indisunique and i.indimmediate and i.indisvalid and i.indpred is null and i.indexprs is null
   order by i.indnkeyatts, i.indexrelid
   limit 1
$$;

comment on function tinydev_lib.tracked_rows(oid, text, text) is
$$A query that gives of each row of a materialized view its key, by the unique index with the fewest columns and of those the oldest; whether that lacks a value, so that
several rows may have the same; a digest of the row; and the row, when rows are tracked and it is no larger than could be told.$$;
