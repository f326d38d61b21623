create or replace function tinydev.set_setting(name text, value text, dry_run boolean default false) returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_answer jsonb;
begin
  perform tinydev_lib.require_admin();
  v_answer := tinydev_lib.put_setting(set_setting.name, set_setting.value, set_setting.dry_run);
  if set_setting.dry_run then
    return v_answer;
  end if;
  return tinydev.describe_settings();
end $$;

comment on function tinydev.set_setting(text, text, boolean) is
$$Changes one of tinydev.settings, for administrators. Answers as tinydev.describe_settings; with dry_run changes nothing and answers
{"sql":[…]}. Example: select tinydev.set_setting('read_all', 'true');
Errors: TD403 admin_only; TD422 setting_unknown, setting_invalid with "setting".$$;
