create or replace function tinydev_impl.turn_seconds(p_schedule text) returns integer
language sql immutable
set search_path = pg_catalog, pg_temp
as $$ select (regexp_match(p_schedule, '^[[:space:]]*[+]?([0-9]+)[[:space:]]*seconds?[[:space:]]*$', 'i'))[1]::integer $$;

comment on function tinydev_impl.turn_seconds(text) is 'The seconds of a schedule that is an interval; null for any other.';
