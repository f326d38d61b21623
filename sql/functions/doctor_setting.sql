create or replace function tinydev_lib.doctor_setting(name text) returns text
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
  select current_setting(doctor_setting.name, true) where doctor_setting.name in ('cron.use_background_workers', 'cron.enable_superuser_jobs', 'cron.host')
$$;

comment on function tinydev_lib.doctor_setting(text) is 'A setting of pg_cron that the doctor''s views need: PostgreSQL shows them to superusers only. Null for others.';
