create or replace function tinydev_lib.split_names(names text) returns text[]
language sql immutable strict
set search_path = pg_catalog, pg_temp
as $$
  -- With an open quote the whole is one name, which nothing can be called.
  select case when length(replace(split_names.names, '"', '')) % 2 <> length(split_names.names) % 2 then array[split_names.names]
              else array(select btrim(m.part[1], E' \t\n\r') from regexp_matches(split_names.names, '((?:"(?:[^"]|"")*"|[^",])+)', 'g') with ordinality m(part, n)
                          where btrim(m.part[1], E' \t\n\r') <> '' order by m.n) end
$$;

comment on function tinydev_lib.split_names(text) is $$The names of a list such as 'prices, ann."my view"'; a comma within double quotes belongs to the name.$$;
