create or replace function tinydev_lib.move_freshness(relation_id oid, relation text) returns void
language sql
set search_path = pg_catalog, pg_temp
as $$
  insert into tinydev_lib.own_request (role_name, verb, arguments)
  values (current_user, 'move_freshness', jsonb_build_object('relation_id', move_freshness.relation_id, 'relation', move_freshness.relation))
$$;

comment on function tinydev_lib.move_freshness(oid, text) is
$$Gives the promise of how old a view of yours may be, broken or not, to the view that took its place; for tinydev.replace_view.$$;

create or replace function tinydev_impl.change_freshness(p_role name, p_arguments jsonb) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_new oid := (tinydev_impl.own_relation(p_role, p_arguments ->> 'relation')).relation_id;
begin
  update tinydev_impl.freshness f
     set relation_id = v_new, next_check_at = clock_timestamp()
   where f.relation_id = (p_arguments ->> 'relation_id')::oid and f.owner_name = p_role
     and not exists (select from tinydev_impl.freshness o where o.relation_id = v_new);
  return '{}';
end $$;

comment on function tinydev_impl.change_freshness(name, jsonb) is 'What tinydev_lib.move_freshness does.';
