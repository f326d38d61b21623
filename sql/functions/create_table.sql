create or replace function tinydev.create_table(name text, columns jsonb, dry_run boolean default false) returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_workspace name;
  v_relation  name;
  v_column    jsonb;
  v_name      text;
  v_type      text;
  v_known     boolean;
  v_names     text[] := '{}';
  v_lines     text[] := '{}';
  v_columns   jsonb := '[]';
  v_sql       text;
begin
  select p.workspace, p.relation into v_workspace, v_relation from tinydev_lib.parse_name(create_table.name) p;
  perform tinydev_lib.require_own_workspace(v_workspace);
  if jsonb_typeof(create_table.columns) is distinct from 'array' or jsonb_array_length(create_table.columns) = 0 then
    perform tinydev_lib.fault(422, 'columns_invalid', 'a table needs columns', 'give a list such as [{"name":"Name","type":"text"}]');
  end if;
  for v_column in select c from jsonb_array_elements(create_table.columns) c loop
    v_name := v_column ->> 'name';
    v_type := lower(btrim(v_column ->> 'type'));
    if coalesce(v_name, '') = '' or octet_length(v_name) > 63 then
      perform tinydev_lib.fault(422, 'columns_invalid', format('column %s has no name of 1 to 63 bytes', cardinality(v_names) + 1), '', jsonb_build_object('column', v_name));
    end if;
    if v_name = any (v_names) then
      perform tinydev_lib.fault(422, 'columns_invalid', format('two columns are named %I', v_name), 'rename one of them', jsonb_build_object('column', v_name));
    end if;
    -- The type is pasted into SQL: words, a length and brackets only, and PostgreSQL has to know it.
    begin
      v_known := to_regtype(regexp_replace(v_type, '[(][^)]*[)]', '')) is not null;
    exception when syntax_error then  -- before PostgreSQL 16
      v_known := false;
    end;
    if v_type is null or not v_known or v_type !~ '^("?[a-z_][a-z0-9_]*"?[.])?[a-z_][a-z0-9_ ]*([(][0-9]{1,4}( ?, ?[0-9]{1,4})?[)])?( with(out)? time zone)?([[][]])?$' then
      perform tinydev_lib.fault(422, 'type_unknown', format('column %I: %s is not a type', v_name, coalesce(quote_literal(left(v_type, 100)), 'null')),
        'use one such as text, bigint, numeric(12,2), double precision, boolean, date, timestamptz, uuid, jsonb', jsonb_build_object('column', v_name));
    end if;
    v_names := v_names || v_name;
    v_columns := v_columns || jsonb_build_object('name', v_name, 'type', v_type, 'nullable', v_column ->> 'nullable' is distinct from 'false');
    v_lines := v_lines || format('  %I %s%s', v_name, v_type, case when v_column ->> 'nullable' = 'false' then ' not null' else '' end);
  end loop;
  perform tinydev_lib.require_free(v_workspace, v_relation, 'choose another name, or drop it first');
  v_sql := format(E'create table %I.%I (\n%s\n);', v_workspace, v_relation, array_to_string(v_lines, E',\n'));
  if create_table.dry_run then
    return jsonb_build_object('sql', jsonb_build_array(v_sql));
  end if;
  execute v_sql;
  perform tinydev.record_event('table.created', format('%I.%I', v_workspace, v_relation)::regclass::oid, null,
    jsonb_build_object('columns', v_columns));
  return tinydev.describe(create_table.name, 'table');
end $$;

comment on function tinydev.create_table(text, jsonb, boolean) is
$$Creates a table in your workspace and answers as tinydev.describe. columns is [{"name":"Date","type":"date","nullable":true}].
With dry_run it creates nothing and answers {"sql":[…]}.
Example: select tinydev.create_table('friends', '[{"name":"Name","type":"text"},{"name":"Date","type":"date"}]');
Errors: TD409 name_taken; TD422 name_invalid, columns_invalid, type_unknown; TD403 not_your_workspace.$$;
