create or replace function tinydev_impl.put_subscription(p_role name, p_new jsonb) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  -- Checked once more: a user may write to tinydev_lib.own_request without the verb.
  v_new jsonb := tinydev_lib.check_subscription(p_new - 'subscription_id', p_role);
  v_id  bigint;
begin
  if (select count(*) from tinydev_impl.subscription s where s.role_name = p_role) >= 100 then
    perform tinydev_lib.fault(409, 'subscriptions_too_many', format('%I has 100 subscriptions', p_role), 'drop one that is not needed any more');
  end if;
  insert into tinydev_impl.subscription (role_name, name, kind, target, types, subjects, condition, attach, attach_rows, options, rearm, rearm_seconds,
                                         digest_seconds, timeout_seconds, retry_seconds, pause_after_seconds, secret, cursor_position, read_position)
  select p_role, n.name, n.kind, n.target, n.types, n.subjects, n.condition::jsonpath, n.attach, n.attach_rows, n.options, n.rearm, n.rearm_seconds,
         n.digest_seconds, n.timeout_seconds, n.retry_seconds, n.pause_after_seconds, tinydev_lib.check_secret(n.kind, p_new ->> 'secret', false), h.position, h.position
    from jsonb_to_record(v_new) as n(name text, kind text, target text, types text[], subjects text[], condition text, attach text, attach_rows integer, options jsonb,
           rearm text, rearm_seconds integer, digest_seconds integer, timeout_seconds integer, retry_seconds integer[], pause_after_seconds integer),
         tinydev_impl.head h
  returning subscription_id into v_id;
  perform tinydev_impl.wake_servers();
  return jsonb_build_object('subscription_id', v_id);
end $$;

comment on function tinydev_impl.put_subscription(name, jsonb) is 'What tinydev.create_subscription does once all is checked.';
