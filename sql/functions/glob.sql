create or replace function tinydev_lib.glob(pattern text) returns text
language sql immutable
as $$
  select pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(pattern, E'\\', E'\\\\'), '%', E'\\%'), '_', E'\\_'), '*', '%')
$$;

comment on function tinydev_lib.glob(text) is
$$A pattern in which * stands for any characters, as one for LIKE: tinydev_lib.glob('ann.*') is 'ann.%'.$$;
