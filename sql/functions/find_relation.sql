create or replace function tinydev_lib.find_relation(name text, kind text, out relation_id oid, out full_name text, out owner name)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_workspace name;
  v_relation  name;
  v_relkind   "char";
begin
  select p.workspace, p.relation into v_workspace, v_relation from tinydev_lib.parse_name(find_relation.name) p;
  full_name := format('%I.%I', v_workspace, v_relation);
  select c.oid, c.relkind, pg_get_userbyid(c.relowner) into relation_id, v_relkind, owner
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
   where n.nspname = v_workspace and c.relname = v_relation and c.relkind in ('r', 'p', 'f', 'v', 'm');
  if not found then
    perform tinydev_lib.fault(404, case find_relation.kind when 'any' then 'relation' else find_relation.kind end || '_not_found',
      format('there is no %s %s', case find_relation.kind when 'view' then 'materialized view' when 'any' then 'table or view' else 'table' end, full_name),
      'select workspace, name, kind from tinydev.relation lists what there is');
  end if;
  if find_relation.kind = 'view' and v_relkind <> 'm' then
    perform tinydev_lib.fault(422, 'not_a_view', format('%s is not a materialized view', full_name),
      case v_relkind when 'v' then 'a plain view computes its rows when it is read: GET /v1/views/{name}/rows, tinydev view rows, or select from it; nothing refreshes or schedules it'
                     else 'it is a table' end);
  elsif find_relation.kind = 'table' and v_relkind not in ('r', 'p', 'f') then
    perform tinydev_lib.fault(422, 'not_a_table', format('%s is a view, not a table', full_name), 'it holds what its query returns: tinydev view show, tinydev view rows; only tables are loaded into');
  end if;
end $$;

comment on function tinydev_lib.find_relation(text, text) is
$$Finds a table (kind => 'table'), a materialized view ('view') or either ('any') by name.
Errors: TD404 table_not_found, view_not_found, relation_not_found; TD422 not_a_table, not_a_view, name_invalid.$$;
