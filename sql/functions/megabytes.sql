create or replace function tinydev_lib.megabytes(configuration text[], name text) returns integer
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
  -- A number without a unit is of kilobytes in the settings that are asked for.
  select ceil(least(case when s.value ~ '^[0-9]{1,12}$' then s.value::numeric * 1024 when s.value ~ '^[0-9]{1,9} ?(kB|MB|GB)$' then pg_size_bytes(s.value) end, 2e15) / 1048576)::integer
    from (select substr(c, length(megabytes.name) + 2) as value from unnest(megabytes.configuration) c where split_part(c, '=', 1) = megabytes.name) s
$$;

comment on function tinydev_lib.megabytes(text[], text) is
$$An amount of memory or disk of a role's configuration, pg_roles.rolconfig, in megabytes; null when there is none or it is without limit.$$;
