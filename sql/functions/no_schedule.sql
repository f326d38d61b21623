create or replace function tinydev_lib.no_schedule() returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$ select '0 0 30 2 *' $$;

comment on function tinydev_lib.no_schedule() is 'The schedule in cron.job of a job that runs after others only: 30 February.';
