create or replace function tinydev_lib.types_fit(types text[], noun text) returns boolean
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
  select types_fit.types is null
      or exists (
        select from (select regexp_replace(t, '^tinydev[.]', '') as pattern from unnest(types_fit.types) t) p,
                    lateral (select split_part(p.pattern, '*', 1) as start, types_fit.noun || '.' as family) f
         where starts_with(f.start, f.family)
            or strpos(p.pattern, '*') > 0 and starts_with(f.family, f.start)
            -- A type of one's own may be about anything.
            or strpos(f.start, '.') > 0 and split_part(f.start, '.', 1) not in ('view', 'table', 'subscription', 'delivery'))
$$;

comment on function tinydev_lib.types_fit(text[], text) is
$$Whether one of the types, with * for any characters, can be that of an event about a 'view' or 'table'; null, which is all, can.$$;
