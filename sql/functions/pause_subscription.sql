create or replace function tinydev_impl.pause_subscription(p_subscription_id bigint, p_reason text, p_actor name default 'tinydev_server') returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_subscription tinydev_impl.subscription;
begin
  update tinydev_impl.subscription s
     set active = false, paused_at = clock_timestamp(), pause_reason = p_reason, version = s.version + 1
   where s.subscription_id = p_subscription_id and s.active
  returning * into v_subscription;
  if not found then
    return;
  end if;
  insert into tinydev_impl.inbox (type, subject, workspace, actor, data)
  values ('subscription.paused', format('%I.%s', v_subscription.role_name, v_subscription.name), v_subscription.role_name, p_actor, jsonb_build_object(
    'reason', p_reason, 'failing_since', v_subscription.failing_since, 'position', v_subscription.cursor_position,
    'open', (select count(*) from tinydev_impl.delivery d where d.subscription_id = p_subscription_id and d.state in ('pending', 'failing'))));
  perform tinydev_impl.wake_servers();
end $$;

comment on function tinydev_impl.pause_subscription(bigint, text, name) is
$$Stops a subscription where it is, and tells its owner by subscription.paused. Its cursor and what waits stay.$$;
