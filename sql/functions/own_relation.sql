create or replace function tinydev_impl.own_relation(p_role name, p_relation text, out relation_id oid, out full_name text, out noun text)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_owner   name;
  v_relkind "char";
begin
  select f.relation_id, f.full_name, f.owner into relation_id, full_name, v_owner from tinydev_lib.find_relation(p_relation, 'any') f;
  if v_owner <> p_role then
    perform tinydev_lib.fault(403, 'not_owner', format('%s belongs to %I; only %I may change it', full_name, v_owner, v_owner), 'ask its owner');
  end if;
  select c.relkind into v_relkind from pg_class c where c.oid = own_relation.relation_id;
  if v_relkind = 'v' then
    perform tinydev_lib.find_relation(full_name, 'view');  -- says what a plain view is
  end if;
  noun := case v_relkind when 'm' then 'view' else 'table' end;
end $$;

comment on function tinydev_impl.own_relation(name, text) is
$$Finds a table or materialized view of a role's. Errors: TD404 relation_not_found; TD403 not_owner; TD422 not_a_view for a plain view, name_invalid.$$;
