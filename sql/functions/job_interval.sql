create or replace function tinydev_lib.job_interval(command text) returns integer
language sql immutable
set search_path = pg_catalog, pg_temp
as $$ select (tinydev_lib.job_arguments(command))[2]::integer $$;

comment on function tinydev_lib.job_interval(text) is
$$The seconds between the turns of a job that repeats within its minute; null for any other.$$;
