create or replace function tinydev_impl.definition(p_class_id oid, p_object_id oid, p_object_type text) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  select case
    -- PostgreSQL 12 opens tables to print these, which runs the functions of a partition key, and here as the one whom the audit belongs to.
    when p_object_type in ('view', 'materialized view', 'index', 'trigger', 'rule') and current_setting('server_version_num')::integer < 130000 then null
    when p_object_type in ('view', 'materialized view') then pg_get_viewdef(p_object_id)
    when p_object_type in ('function', 'procedure') then pg_get_functiondef(p_object_id)
    when p_object_type = 'index' then pg_get_indexdef(p_object_id)
    when p_object_type = 'trigger' then pg_get_triggerdef(p_object_id)
    when p_object_type = 'rule' then pg_get_ruledef(p_object_id)
    when p_object_type in ('user mapping', 'server', 'subscription') then ''
  end
$$;

comment on function tinydev_impl.definition(oid, oid, text) is
$$The SQL that an object is made of, as PostgreSQL prints it; null where that does not say all, '' where the statement may hold a password.$$;
