create or replace function tinydev_lib.job_interval(command text) returns integer
language sql immutable
set search_path = pg_catalog, pg_temp
as $$ select case when tinydev_lib.job_view(command) is not null then (regexp_match(command, ', every_seconds => ([0-9]{1,2})[)]$'))[1]::integer end $$;

comment on function tinydev_lib.job_interval(text) is
$$The seconds between the turns of a job that repeats within its minute; null for any other.$$;
