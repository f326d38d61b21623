create or replace function tinydev_lib.limit_statements(name text, limits jsonb) returns text[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_role     text := quote_ident(limit_statements.name);
  v_defaults jsonb := tinydev.describe_settings();
  v_sql      text[] := '{}';
  v_columns  text[] := '{}';
  v_values   text[] := '{}';
  v_limit    record;
  v_value    integer;
begin
  for v_limit in
    select n.name, n.highest, n.is_setting_of_role, (l.value #>> '{}')::integer as given
      from jsonb_each(limit_statements.limits) l join tinydev_lib.limit_names() n on n.name = l.key order by n.name
  loop
    if v_limit.given not between 0 and v_limit.highest then
      perform tinydev_lib.fault(422, 'user_limit_invalid', format('%s is %s; it has to be 1 to %s, or 0 for the default', v_limit.name, v_limit.given, v_limit.highest),
        fields => jsonb_build_object('limit', v_limit.name));
    end if;
    v_value := case v_limit.given when 0 then (v_defaults ->> v_limit.name)::integer else v_limit.given end;
    case v_limit.name
      when 'connections' then
        v_sql := v_sql || format('alter role %s connection limit %s', v_role, v_value);
      when 'work_mem_mb' then
        v_sql := v_sql || format('alter role %s set work_mem = ''%sMB''', v_role, v_value);
      when 'temp_file_mb' then
        if tinydev_lib.can_limit_temp_files() then
          v_sql := v_sql || format('alter role %s set temp_file_limit = ''%sMB''', v_role, v_value);
        elsif v_limit.given > 0 then
          perform tinydev_lib.fault(422, 'limit_unsupported', 'before PostgreSQL 15 only a superuser may limit the temporary files of a role',
            format('leave temp_file_mb out, and let a superuser run: alter role %s set temp_file_limit = ''%sMB''', v_role, v_value),
            jsonb_build_object('limit', v_limit.name));
        end if;
      else
        if v_limit.name = 'idle_transaction_seconds' then
          v_sql := v_sql || format('alter role %s set idle_in_transaction_session_timeout = ''%ss''', v_role, v_value);
        end if;
        v_columns := v_columns || v_limit.name;
        v_values := v_values || coalesce(nullif(v_limit.given, 0)::text, 'null');
    end case;
  end loop;
  if exists (select from unnest(v_values) v where v <> 'null') or exists (select from tinydev_impl.user_limit u where u.role_name = limit_statements.name) and cardinality(v_columns) > 0 then
    v_sql := v_sql || format('insert into tinydev_impl.user_limit (role_name, %s) values (%L, %s) on conflict (role_name) do update set %s',
      array_to_string(v_columns, ', '), limit_statements.name, array_to_string(v_values, ', '),
      (select string_agg(format('%I = excluded.%1$I', c), ', ' order by c) from unnest(v_columns) c));
  end if;
  return v_sql;
end $$;

comment on function tinydev_lib.limit_statements(text, jsonb) is
$$The SQL that gives a user limits: what PostgreSQL keeps of a role by alter role, the others as a row of our own. 0 stands for the default of
the settings. Errors: TD422 user_limit_invalid, limit_unsupported with "limit".$$;
