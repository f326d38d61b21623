create or replace function tinydev_lib.globs(patterns text[], prefix text default '') returns text[]
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
  select array_agg(tinydev_lib.glob(case when left(g, length(globs.prefix)) = globs.prefix then substr(g, length(globs.prefix) + 1) else g end))
    from unnest(globs.patterns) g
$$;

comment on function tinydev_lib.globs(text[], text) is
$$Patterns in which * stands for any characters, less a prefix that they may have, as ones for LIKE ANY; null, which stands for
all, when there are none.$$;
