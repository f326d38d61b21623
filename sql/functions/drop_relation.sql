create or replace function tinydev_lib.drop_relation(name text, kind text, dry_run boolean) returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_id         oid;
  v_name       text;
  v_owner      name;
  v_relkind    "char";
  v_dependents text[];
  v_sql        text;
begin
  select f.relation_id, f.full_name, f.owner into v_id, v_name, v_owner from tinydev_lib.find_relation(drop_relation.name, drop_relation.kind) f;
  perform tinydev_lib.require_owner(v_name, v_owner);
  select c.relkind into v_relkind from pg_class c where c.oid = v_id;
  v_sql := format('drop %s %s;', case v_relkind when 'm' then 'materialized view' when 'f' then 'foreign table' else 'table' end, v_name);
  v_dependents := tinydev_lib.dependents(v_id);
  if cardinality(v_dependents) > 0 then
    perform tinydev_lib.fault(409, 'in_use', format('%s is used by %s', v_name, array_to_string(v_dependents, ', ')),
      'drop or change those first', jsonb_build_object('dependents', v_dependents));
  end if;
  if drop_relation.dry_run then
    return jsonb_build_object('sql', jsonb_build_array(v_sql));
  end if;
  begin
    execute v_sql;
  exception when dependent_objects_still_exist then
    perform tinydev_lib.fault(409, 'in_use', format('%s: %s', v_name, sqlerrm), 'drop or change those first');
  end;
  return jsonb_build_object('dropped', v_name);
end $$;

comment on function tinydev_lib.drop_relation(text, text, boolean) is
$$What tinydev.drop_table and tinydev.drop_view share.$$;
