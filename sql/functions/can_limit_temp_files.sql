create or replace function tinydev_lib.can_limit_temp_files() returns boolean
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_may boolean := false;
begin
  if current_setting('server_version_num')::integer >= 150000 then
    execute $q$select has_parameter_privilege('tinydev_roles', 'temp_file_limit', 'set')$q$ into v_may;
  end if;
  return v_may;
end $$;

comment on function tinydev_lib.can_limit_temp_files() is
$$Whether temp_file_limit can be set for each user: from PostgreSQL 15 on, where the right can be granted; before, only a superuser may.$$;
