create or replace function tinydev_lib.cron_release(cron_version text default null) returns integer[]
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
begin
  return regexp_match(coalesce(cron_version, tinydev_lib.cron_version()) || '.0', '^([0-9]{1,6})[.]([0-9]{1,6})')::integer[];
end $$;

comment on function tinydev_lib.cron_release(text) is
$$The first two numbers of a version of pg_cron (the installed one when null), to be compared: tinydev_lib.cron_release() >= array[1, 5].
1.4-1 gives {1,4}, an absent pg_cron {0,0}, and a text that is no version null.$$;
