create or replace function tinydev_lib.tell_changes(gone text, query text, inserted bigint, deleted bigint, track_changes text) returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
set extra_float_digits = 1
set jit = off
as $$
declare
  -- Rows whose key lacks a value are deleted and inserted by each refresh, changed or not, and several may have that key: they are the same when all in them
  -- is, each with one other.
  c_sides constant text := 'select r.*, case when r.lacks then r.image else '''' end as same,
      case when r.lacks then row_number() over (partition by case when r.lacks then r.key end, case when r.lacks then r.image end) else 1 end as n from (%s) r';
  v_entry text := case tell_changes.track_changes when 'keys' then 'key'
    when 'rows' then 'case d.kind when ''added'' then d.after when ''removed'' then d.before
                        else case when d.before is not null and d.after is not null then jsonb_build_object(''before'', d.before, ''after'', d.after) end end' end;
  v_query   text;
  v_came    bigint;
  v_added   bigint;
  v_removed bigint;
  v_updated bigint;
  v_lists   jsonb;
  v_listed  bigint;
begin
  if inserted = 0 and deleted = 0 then
    v_query := 'select 0, 0, 0, 0, ''{"added": [], "removed": [], "updated": []}''::jsonb, 0';
  else
    v_query := format('with come as (%s), gone as (%s), difference as (
      select coalesce(g.key, c.key) as key, case when g.key is null then ''added'' when c.key is null then ''removed'' else ''updated'' end as kind, g.data as before, c.data as after
        from gone g full join come c on g.key = c.key and g.same = c.same and g.n = c.n
       where g.image is distinct from c.image), told as (select (select count(*) from come) as came,
      count(*) filter (where d.kind = ''added'') as added, count(*) filter (where d.kind = ''removed'') as removed, count(*) filter (where d.kind = ''updated'') as updated from difference d)',
      format(c_sides, tell_changes.query), format(c_sides, 'select * from ' || tell_changes.gone));
    if v_entry is null then
      v_query := v_query || ' select t.*, null, 0 from told t';
    else
      -- The lists grow in turns, so that what there is room for is of all of them.
      v_query := v_query || format(', first as (
        select k.kind, e.entry, row_number() over (partition by k.kind order by e.key) as n
          from unnest(array[''added'', ''removed'', ''updated'']) k(kind),
               lateral (select key, %1$s as entry from difference d where d.kind = k.kind and %1$s is not null order by key limit 100) e),
        listed as (select f.*, sum(octet_length(f.entry::text) + 2) over (order by f.n, f.kind) as bytes from first f)
        select t.*, l.* from told t, (
          select jsonb_build_object(''added'', coalesce(jsonb_agg(l.entry order by l.n) filter (where l.kind = ''added''), ''[]''),
                   ''removed'', coalesce(jsonb_agg(l.entry order by l.n) filter (where l.kind = ''removed''), ''[]''),
                   ''updated'', coalesce(jsonb_agg(l.entry order by l.n) filter (where l.kind = ''updated''), ''[]'')) as lists, count(*) as listed
            from listed l where l.bytes <= 65536 - 100) l', v_entry);
    end if;
  end if;
  execute v_query into v_came, v_added, v_removed, v_updated, v_lists, v_listed;
  if v_came <> inserted then
    return null;
  end if;
  return jsonb_build_object('added', v_added, 'removed', v_removed, 'updated', v_updated)
    || case tell_changes.track_changes when 'keys' then jsonb_build_object('keys', v_lists) when 'rows' then jsonb_build_object('rows_changed', v_lists) else '{}' end
    || case when v_entry is not null and v_listed < v_added + v_removed + v_updated then '{"truncated": true}' else '{}' end::jsonb;
exception when others then
  -- A value that is too large or a cast of the user's own may fail, and the refresh is to go on.
  raise warning 'the rows that changed are not told: %', sqlerrm;
  return null;
end $$;

comment on function tinydev_lib.tell_changes(text, text, bigint, bigint, text) is
$$What view.refreshed says of the rows that changed: gone is the table that holds those that were deleted, query gives those that were inserted, both as
tinydev_lib.tracked_rows has them. Null when what is found is not what was inserted.$$;
