create or replace function tinydev_lib.cron_version() returns text
language plpgsql  -- which keeps the plan for the session: it is asked for each schedule
stable
set search_path = pg_catalog, pg_temp
as $$
begin
  return coalesce((select e.extversion from pg_catalog.pg_extension e where e.extname = 'pg_cron'), '0');
end $$;

comment on function tinydev_lib.cron_version() is
$$The version of pg_cron's extension in this database, such as 1.4-1 or 1.6, and 0 where it is absent.
It is the extension's version: the library's third number (1.6.7) does not show in it.$$;
