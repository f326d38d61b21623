create or replace function tinydev_impl.check_trigger(p_role name, p_new jsonb) returns jsonb
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_new     jsonb := jsonb_strip_nulls(p_new);
  v_name    text  := coalesce(v_new ->> 'name', '');
  v_view    text  := nullif(nullif(trim(v_new ->> 'view'), ''), '*');
  v_channel text  := coalesce(nullif(v_new ->> 'channel', ''), p_role || '_' || (v_new ->> 'name'));
  v_types   text[];
  v_type    text;
  v_found   record;
begin
  if v_name !~ '^[a-z][a-z0-9_]{0,62}$' then
    perform tinydev_lib.fault(422, 'trigger_invalid', format('%L cannot be the name of a trigger', left(v_name, 100)),
      'use 1 to 63 of a-z, 0-9 and _, beginning with a letter', '{"field": "name"}');
  end if;
  if octet_length(v_channel) > 63 then
    perform tinydev_lib.fault(422, 'trigger_invalid', format('the channel %L is longer than 63 bytes', left(v_channel, 100)), 'give a shorter one', '{"field": "channel"}');
  end if;
  if v_channel ~ '[[:cntrl:]]' or v_channel ~* '^tinydev' then
    perform tinydev_lib.fault(422, 'trigger_invalid', format('%L cannot be the channel of a trigger', v_channel),
      'channels that begin with tinydev are the server''s; others may hold anything but control characters', '{"field": "channel"}');
  end if;
  v_types := array(select distinct regexp_replace(t, '^tinydev[.]', '') from jsonb_array_elements_text(v_new -> 'types') t order by 1);
  select t into v_type from unnest(v_types) t where t !~ '^[a-z_.*]{1,100}$' limit 1;
  if found or cardinality(v_types) > 20 then
    perform tinydev_lib.fault(422, 'trigger_invalid', coalesce(format('%L is no type of events', left(v_type, 100)), 'a trigger takes up to 20 types'),
      'write view.refreshed or view.*', '{"field": "types"}');
  end if;
  if v_view is not null then
    select * into v_found from tinydev_lib.find_relation(v_view, 'any') f;
    if (parse_ident(v_found.full_name))[1] <> p_role and not has_table_privilege(p_role, v_found.relation_id, 'select')
       and not pg_has_role(p_role, 'tinydev_admin', 'member') then
      perform tinydev_lib.fault(403, 'not_readable', format('%I may not read %s', p_role, v_found.full_name), 'ask its owner to share it', '{"field": "view"}');
    end if;
    v_view := v_found.full_name;
  end if;
  return jsonb_build_object('owner', p_role, 'name', v_name, 'view', v_view, 'types', case when v_types <> '{}' then to_jsonb(v_types) end,
    'condition', tinydev_lib.plain_condition(v_new ->> 'condition'), 'channel', v_channel);
end $$;

comment on function tinydev_impl.check_trigger(name, jsonb) is
$$Gives the definition of a trigger, checked, as it is kept in the trigger's comment: {"owner","name","view","types","condition","channel"}.
Errors: TD422 trigger_invalid with "field", condition_invalid, name_invalid; TD404 relation_not_found; TD403 not_readable.$$;
