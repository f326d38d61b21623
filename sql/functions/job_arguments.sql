create or replace function tinydev_lib.job_arguments(command text) returns text[]
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
  select regexp_match(command,
    '^call tinydev[.]refresh[(]''((?:[a-z_][a-z0-9_]*|"(?:[^"'']|""|'''')+")[.](?:[a-z_][a-z0-9_]*|"(?:[^"'']|""|'''')+"))'', cause => ''schedule'''
    '(?:, every_seconds => ([0-9]{1,2}))?(?:, schedule => ''([^'']+)'', time_zone => ''([A-Za-z0-9_+/-]{1,60})'')?'
    '(?:, overlap => ''(queue|queue_one)'')?(?:, missed => ''(none|all)'')?(?:, timeout_seconds => ([0-9]{1,6}))?(?:, retries => ([0-9]{1,2}))?[)]$')
$$;

comment on function tinydev_lib.job_arguments(text) is
$$The arguments of a command that tinydev.schedule wrote, null for those that have their default: view as it is quoted, every_seconds, schedule, time_zone,
overlap, missed, timeout_seconds, retries. Null for any other command.$$;
