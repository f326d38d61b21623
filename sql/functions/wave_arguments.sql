create or replace function tinydev_lib.wave_arguments(command text, out schedule text, out time_zone text)
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
  select m[1], m[2] from regexp_match(wave_arguments.command, '^call tinydev[.]refresh_wave[(]''([^'']+)'', ''([A-Za-z0-9_+/-]+)''[)]$') m
$$;

comment on function tinydev_lib.wave_arguments(text) is 'The schedule and zone of a command that runs a wave; nulls for any other.';
