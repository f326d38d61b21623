create or replace function tinydev_lib.cron_time_zone() returns text
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
  -- Below 1.5 the setting is accepted and ignored. GMT and UTC are one zone.
  select case when tinydev_lib.cron_release() < array[1, 5] then 'UTC'
              when coalesce(current_setting('cron.timezone', true), '') in ('', 'GMT', 'Etc/UTC') then 'UTC'
              else current_setting('cron.timezone', true) end
$$;

comment on function tinydev_lib.cron_time_zone() is 'The time zone in which pg_cron here reads schedules; UTC unless cron.timezone says otherwise.';
