create or replace function tinydev_lib.is_once(command text) returns boolean
language sql immutable
set search_path = pg_catalog, pg_temp
as $$ select coalesce((tinydev_lib.job_arguments(command))[3] like 'at %', false) $$;

comment on function tinydev_lib.is_once(text) is
$$Whether a command of cron.job is that of a job that runs once, at a time: one beside the view's regular job.$$;
