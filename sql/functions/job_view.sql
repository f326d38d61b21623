create or replace function tinydev_lib.job_view(command text) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$ select replace((tinydev_lib.job_arguments(command))[1], '''''', '''') $$;

comment on function tinydev_lib.job_view(text) is
$$The view that a command of cron.job refreshes, as workspace.name; null for a command that is not as tinydev.schedule writes it.$$;
