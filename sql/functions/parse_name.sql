create or replace function tinydev_lib.parse_name(name text, out workspace name, out relation name)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_parts text[];
begin
  begin
    v_parts := parse_ident(parse_name.name);
  exception when invalid_parameter_value then
    v_parts := null;
  end;
  if v_parts is null or cardinality(v_parts) not in (1, 2) then
    perform tinydev_lib.fault(422, 'name_invalid', format('%L is not a name', left(coalesce(parse_name.name, ''), 100)),
      'write friends or ann.friends; put double quotes around a part with other characters than a-z, 0-9 and _');
  end if;
  if octet_length(v_parts[1]) > 63 or octet_length(v_parts[2]) > 63 then
    perform tinydev_lib.fault(422, 'name_invalid', format('%L is longer than 63 bytes', left(parse_name.name, 100)), 'choose a shorter name');
  end if;
  if cardinality(v_parts) = 1 then
    v_parts := array[session_user::text, v_parts[1]];
  end if;
  workspace := v_parts[1];
  relation := v_parts[2];
end $$;

comment on function tinydev_lib.parse_name(text) is
$$Splits a name, written as in SQL (friends, ann.friends, "My Table"), into workspace and relation; without a workspace it is your own.
Errors: TD422 name_invalid.$$;
