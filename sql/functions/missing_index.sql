create or replace function tinydev_lib.missing_index(view_id oid, out problem text, out statement text)
language plpgsql stable
set search_path = pg_catalog, pg_temp
set lock_timeout = '5ms'
as $$
declare
  -- Without an order they cannot be in an index.
  c_unordered constant text[] := array['json', 'xml', 'point', 'line', 'lseg', 'box', 'path', 'polygon', 'circle'];
  v_name      text;
  v_columns   text[];
  v_unique    text[];
  v_tried     text[];
  v_is_unique boolean[];
begin
  select format('%I.%I', n.nspname, c.relname),
         format('%I.%I', n.nspname, c.relname) || case
           when exists (select from pg_index i where i.indrelid = c.oid and i.indisunique and not i.indisvalid) then ' has a unique index that was not finished'
           when exists (select from pg_index i where i.indrelid = c.oid and i.indisunique) then ' has a unique index, but not a plain one: with an expression, a condition, or deferrable'
           else ' has no unique index' end
         || ', so each refresh locks it, and its readers wait'
    into v_name, problem
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
   where c.oid = missing_index.view_id and c.relkind = 'm' and not exists (
     select from pg_index i where i.indrelid = c.oid and i.indisunique and i.indimmediate and i.indisvalid and i.indpred is null and i.indexprs is null);
  if not found then
    return;
  end if;
  v_columns := array(select a.attname::text from pg_attribute a join pg_type t on t.oid = a.atttypid
                      where a.attrelid = missing_index.view_id and a.attnum > 0 and not a.attisdropped and t.typname <> all (c_unordered) order by a.attnum limit 32);

  -- The key of the one table that it reads, when its columns are there.
  select array_agg(a.attname::text order by k.n) into v_unique
    from (select min(d.refobjid) as relation_id from pg_rewrite w
            join pg_depend d on d.classid = 'pg_rewrite'::regclass and d.objid = w.oid and d.refclassid = 'pg_class'::regclass and d.refobjid <> w.ev_class
           where w.ev_class = missing_index.view_id having count(distinct d.refobjid) = 1) t
    join pg_index i on i.indrelid = t.relation_id and i.indisprimary
    cross join lateral unnest(i.indkey::int2[]) with ordinality k(attnum, n)
    join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
   where k.n <= i.indnkeyatts
   having bool_and(a.attname::text = any (v_columns));
  if v_unique is null then
    -- The column that has as many values as rows, by the statistics.
    select array[s.attname::text] into v_unique
      from pg_class c join pg_namespace n on n.oid = c.relnamespace
      join pg_stats s on s.schemaname = n.nspname and s.tablename = c.relname and s.n_distinct = -1 and s.null_frac = 0
     where c.oid = missing_index.view_id and s.attname::text = any (v_columns) order by array_position(v_columns, s.attname::text) limit 1;
  end if;
  if v_unique is null and exists (select from pg_class c where c.oid = missing_index.view_id and pg_get_userbyid(c.relowner) = current_user) then
    -- A small one of the caller's own is looked through, by PostgreSQL's own types alone, whose code is nobody's. A list does not wait for one that is locked.
    begin
      if pg_relation_size(missing_index.view_id) between 1 and 65536 then
        v_tried := array(select a.attname::text from pg_attribute a where a.attrelid = missing_index.view_id and a.attname::text = any (v_columns) and a.atttypid < 16384 order by a.attnum);
        execute format('select array[%s]::boolean[] from %s t having count(*) > 1', (select string_agg(format('count(distinct t.%I) = count(*)', c), ', ') from unnest(v_tried) c), v_name) into v_is_unique;
        v_unique := array[v_tried[array_position(v_is_unique, true)]];
      end if;
    exception when others then
      null;
    end;
  end if;
  v_unique := nullif(v_unique, array[null::text]);
  if v_columns = '{}' then
    statement := format('-- %s has no column that an index could be on', v_name);
    return;
  end if;
  statement := format('create unique index on %s (%s);', v_name, (select string_agg(quote_ident(c.name), ', ' order by c.n) from unnest(coalesce(v_unique, v_columns)) with ordinality c(name, n)))
    || case when v_unique is null then '  -- the columns that tell its rows apart' else '' end;
end $$;

comment on function tinydev_lib.missing_index(oid) is
$$What a materialized view without a unique index that REFRESH CONCURRENTLY can use has to suffer, and the statement that makes one; null where there is one. The columns
are the key of the one table that the view reads, else one that is unique by the statistics or, in a small view, now; else all, for its owner to choose from.$$;
