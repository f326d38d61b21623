create or replace function tinydev.drop_subscription(subscription text, dry_run boolean default false) returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_old    tinydev.subscription := tinydev_lib.find_subscription(drop_subscription.subscription);
  v_answer jsonb;
begin
  if drop_subscription.dry_run then
    return tinydev_lib.plan(array[format('select tinydev.drop_subscription(%L)', drop_subscription.subscription)]);
  end if;
  insert into tinydev_lib.own_request (role_name, verb, arguments)
  values (current_user, 'drop_subscription', jsonb_build_object('subscription_id', v_old.subscription_id)) returning answer into v_answer;
  return jsonb_build_object('dropped', v_old.name, 'owner', v_old.owner);
end $$;

comment on function tinydev.drop_subscription(text, boolean) is
$$Ends a subscription of yours, with its log of deliveries; an attempt under way may still arrive. Answers {"dropped":"hook","owner":"ann"}; with
dry_run {"sql":[…]}. Errors: TD404 subscription_not_found.$$;

create or replace function tinydev_impl.remove_subscription(p_role name, p_arguments jsonb) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_old tinydev_impl.subscription := tinydev_impl.find_for(p_role, (p_arguments ->> 'subscription_id')::bigint);
begin
  -- Its deliveries may be millions: upkeep removes them.
  delete from tinydev_impl.subscription s where s.subscription_id = v_old.subscription_id;
  perform tinydev_impl.wake_servers();
  return '{}';
end $$;

comment on function tinydev_impl.remove_subscription(name, jsonb) is 'What tinydev.drop_subscription does.';
