create or replace function tinydev.drop_freshness(relation text, dry_run boolean default false) returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_found  record;
  v_answer jsonb;
begin
  select * into v_found from tinydev_lib.find_relation(drop_freshness.relation, 'any') f;
  perform tinydev_lib.require_owner(v_found.full_name, v_found.owner);
  insert into tinydev_lib.own_request (role_name, verb, arguments)
  values (current_user, 'drop_freshness', jsonb_build_object('relation', v_found.full_name, 'dry_run', drop_freshness.dry_run)) returning answer into v_answer;
  return v_answer;
end $$;

comment on function tinydev.drop_freshness(text, boolean) is
$$Takes a promise of tinydev.set_freshness back. Where it is broken that ends with view.fresh or table.fresh, whose max_age_seconds is null: nothing
is promised any more. Answers {"dropped":"ann.prices"}; with dry_run {"sql":[…]}.
Errors: TD404 freshness_not_found, relation_not_found; TD403 not_owner; TD422 name_invalid.$$;

create or replace function tinydev_impl.remove_freshness(p_role name, p_arguments jsonb) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_found record;
  v_old   tinydev_impl.freshness;
begin
  v_found := tinydev_impl.own_relation(p_role, p_arguments ->> 'relation');
  if (p_arguments ->> 'dry_run')::boolean then
    select * into v_old from tinydev_impl.freshness f where f.relation_id = v_found.relation_id and f.owner_name = p_role;
  else
    delete from tinydev_impl.freshness f where f.relation_id = v_found.relation_id and f.owner_name = p_role returning * into v_old;
  end if;
  if v_old.relation_id is null then
    perform tinydev_lib.fault(404, 'freshness_not_found', format('nothing is promised of how old %s may be', v_found.full_name),
      format('select tinydev.set_freshness(%L, 3600) promises an hour', v_found.full_name));
  end if;
  if (p_arguments ->> 'dry_run')::boolean then
    return tinydev_lib.plan(array[format('select tinydev.drop_freshness(%L)', v_found.full_name)]);
  end if;
  if v_old.stale_since is not null then
    insert into tinydev_impl.inbox (type, subject, subject_id, workspace, actor, data)
    select case v_found.noun when 'view' then 'view.fresh' else 'table.fresh' end, v_found.full_name, v_found.relation_id, n.nspname, p_role,
           tinydev_impl.freshness_data(null, v_old.fresh_at, v_old.stale_since, clock_timestamp())
      from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = v_found.relation_id;
  end if;
  perform tinydev_impl.audit('drop freshness', v_found.full_name);
  return jsonb_build_object('dropped', v_found.full_name);
end $$;

comment on function tinydev_impl.remove_freshness(name, jsonb) is 'What tinydev.drop_freshness does.';
