-- runs as: installer
create or replace function tinydev_lib.put_setting(name text, value text, dry_run boolean) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set intervalstyle = 'postgres'
as $$
declare
  v_highest integer;
  v_number  numeric;
  v_keep    interval;
  v_least   interval;
  v_sql     text;
begin
  select l.highest into v_highest from tinydev_lib.limit_names() l where l.name = put_setting.name;
  if v_highest is not null then
    v_number := case when put_setting.value ~ '^[[:space:]]*[0-9]{1,10}[[:space:]]*$' then put_setting.value::numeric end;
    if v_number is null or v_number not between 1 and v_highest then
      perform tinydev_lib.fault(422, 'setting_invalid', format('%s is %L; it has to be a number of 1 to %s', put_setting.name, put_setting.value, v_highest),
        fields => jsonb_build_object('setting', put_setting.name));
    end if;
    v_sql := format('update tinydev_impl.instance set %I = %s', case put_setting.name when 'connections' then 'max_connections' else put_setting.name end, v_number);
  elsif put_setting.name = 'read_all' then
    if lower(trim(put_setting.value)) not in ('true', 'false', 'on', 'off', 'yes', 'no') or put_setting.value is null then
      perform tinydev_lib.fault(422, 'setting_invalid', format('read_all is %L; it has to be true or false', put_setting.value), fields => '{"setting": "read_all"}');
    end if;
    v_sql := format('update tinydev_impl.instance set read_all = %s', put_setting.value::boolean::text);
  elsif put_setting.name in ('event_retention', 'run_retention', 'audit_retention', 'delivery_retention') then
    begin
      v_keep := put_setting.value::interval;
    exception when data_exception then
      v_keep := null;
    end;
    -- Who shortens the audit's could remove what it says of them.
    v_least := case put_setting.name when 'audit_retention' then interval '90 days' else interval '1 hour' end;
    if v_keep is null or v_keep < v_least or v_keep > interval '100 years' then
      perform tinydev_lib.fault(422, 'setting_invalid', format('%s is %L; it has to be %s to 100 years', put_setting.name, put_setting.value, v_least),
        'write 100 days or 2 years', jsonb_build_object('setting', put_setting.name));
    end if;
    v_sql := format('update tinydev_impl.instance set %I = %L', put_setting.name, v_keep::text);
  else
    perform tinydev_lib.fault(422, 'setting_unknown', format('there is no setting %s', coalesce(put_setting.name, 'null')), 'select * from tinydev.settings lists them');
  end if;
  if put_setting.dry_run then
    return jsonb_build_object('sql', jsonb_build_array(v_sql || ';'));
  end if;
  execute v_sql;
  return '{}';
end $$;

alter function tinydev_lib.put_setting(text, text, boolean) owner to tinydev_roles;

comment on function tinydev_lib.put_setting(text, text, boolean) is 'What tinydev.set_setting does, with the right to change settings. For administrators.';
