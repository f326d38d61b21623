create or replace function tinydev.test_subscription(subscription text, dry_run boolean default false) returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_old    tinydev.subscription := tinydev_lib.find_subscription(test_subscription.subscription);
  v_answer jsonb;
begin
  if not v_old.active then
    perform tinydev_lib.fault(409, 'subscription_paused', format('the subscription %s is paused: %s', v_old.name, v_old.pause_reason), 'let it go on first: resume it, in SQL tinydev.alter_subscription(…, active => true)');
  end if;
  if test_subscription.dry_run then
    return tinydev_lib.plan(array[format('select tinydev.test_subscription(%L)', test_subscription.subscription)]);
  end if;
  insert into tinydev_lib.own_request (role_name, verb, arguments)
  values (current_user, 'test_subscription', jsonb_build_object('subscription_id', v_old.subscription_id)) returning answer into v_answer;
  return v_answer || jsonb_build_object('name', v_old.name, 'owner', v_old.owner, 'warnings', to_jsonb(array_remove(array[v_old.unserved], null)));
end $$;

comment on function tinydev.test_subscription(text, boolean) is
$$Writes the event subscription.tested, which is sent to this subscription alone, whatever it filters; how that ended is in tinydev.delivery.
Answers {"name":"hook","owner":"ann","event_id":42,"warnings":[]}, and warns when no server that is up can send it: it is sent when one can; with dry_run {"sql":[…]}. Errors: TD404 subscription_not_found; TD409 subscription_paused.$$;

create or replace function tinydev_impl.send_test(p_role name, p_arguments jsonb) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_old tinydev_impl.subscription := tinydev_impl.find_for(p_role, (p_arguments ->> 'subscription_id')::bigint);
  v_id  bigint;
begin
  insert into tinydev_impl.inbox (type, subject, workspace, actor, data)
  values ('subscription.tested', format('%I.%s', v_old.role_name, v_old.name), v_old.role_name, p_role, '{"sample": true}')
  returning event_id into v_id;
  return jsonb_build_object('event_id', v_id);
end $$;

comment on function tinydev_impl.send_test(name, jsonb) is 'What tinydev.test_subscription does.';
