-- runs as: installer
create or replace function tinydev_lib.put_mend(dry_run boolean) returns jsonb
language sql security definer
set search_path = pg_catalog, pg_temp
as $$ select tinydev_impl.mend(put_mend.dry_run) $$;

alter function tinydev_lib.put_mend(boolean) owner to tinydev_roles;

comment on function tinydev_lib.put_mend(boolean) is 'What tinydev.doctor_fix does, with the right to mend. For administrators.';
