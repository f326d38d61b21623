create or replace function tinydev_lib.findings() returns setof tinydev_lib.finding
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  select * from tinydev_lib.doctor_cron()
  union all
  select * from tinydev_lib.doctor_version(current_setting('server_version_num')::integer, tinydev_lib.cron_version(), current_date)
  union all
  select * from tinydev_lib.doctor_log()
  union all
  select * from tinydev_lib.doctor_notify(pg_notification_queue_usage())
  union all
  select * from tinydev_lib.doctor_job
  union all
  select * from tinydev_lib.doctor_subscription
  union all
  select * from tinydev_lib.doctor_view()
$$;

comment on function tinydev_lib.findings() is 'All that the doctor finds and you may know, with whose it is.';
