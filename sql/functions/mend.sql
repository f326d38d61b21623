create or replace function tinydev_impl.mend(p_dry_run boolean) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_found  tinydev_lib.finding;
  v_mended jsonb  := '[]';
  v_sql    text[] := '{}';
  v_error  text;
begin
  for v_found in select * from tinydev_lib.findings() f where f.is_safe and f.level in ('error', 'warn') order by f.check_name, f.subject loop
    continue when v_found.fix = any (v_sql);
    v_sql := v_sql || v_found.fix;
    continue when p_dry_run;
    v_error := null;
    begin
      -- Our own text, with no name in it that is not quoted.
      execute v_found.fix;
    exception when others then
      v_error := sqlerrm;
    end;
    perform tinydev_impl.audit('doctor.fix', v_found.check_name || ': ' || v_found.subject, v_found.fix, jsonb_strip_nulls(jsonb_build_object('sql', v_found.fix, 'error', v_error)));
    v_mended := v_mended || jsonb_build_object('check', v_found.check_name, 'subject', v_found.subject, 'sql', v_found.fix, 'error', v_error);
  end loop;
  return case when p_dry_run then jsonb_build_object('sql', to_jsonb(v_sql)) else jsonb_build_object('mended', v_mended) end;
end $$;

grant execute on function tinydev_impl.mend(boolean) to tinydev_roles;

comment on function tinydev_impl.mend(boolean) is 'What tinydev.doctor_fix does, with the owner''s rights.';
