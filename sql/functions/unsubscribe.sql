create or replace function tinydev_impl.unsubscribe(p_subscription_id bigint, p_recipient text, p_key text, p_dry_run boolean) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '3s'
as $$
declare
  v_subscription tinydev_impl.subscription;
  v_left         text[];
begin
  -- Locked only with the right key, so that nobody else holds up deliveries.
  select s.* into v_subscription from tinydev_impl.subscription s
   where s.subscription_id = p_subscription_id and s.kind = 'email' and s.link_secret <> ''
     and p_key = tinydev_lib.sha256_hex(s.link_secret || ':' || tinydev_lib.sha256_hex(s.link_secret || ':' || p_recipient))
     for no key update;
  -- One answer for all that does not fit, so that ids and addresses cannot be found out.
  if not found then
    perform tinydev_lib.fault(404, 'subscription_not_found', 'this link ends nothing', 'it may be of a subscription that is gone');
  end if;
  v_left := array(select trim(a) from unnest(string_to_array(v_subscription.target, ',')) a where lower(trim(a)) <> lower(p_recipient));
  if not p_dry_run then
    insert into tinydev_impl.opted_out (role_name, address_sha256) values (v_subscription.role_name, tinydev_lib.sha256_hex(lower(p_recipient)))
    on conflict do nothing;
    if cardinality(string_to_array(v_subscription.target, ',')) > cardinality(v_left) then
      update tinydev_impl.subscription s set target = array_to_string(v_left, ', '), version = s.version + 1 where s.subscription_id = p_subscription_id;
      if v_left = '{}' then
        perform tinydev_impl.pause_subscription(p_subscription_id, 'unsubscribed');
        update tinydev_impl.subscription s set pause_reason = 'unsubscribed' where s.subscription_id = p_subscription_id;
      end if;
      perform tinydev_impl.wake_servers();
    end if;
  end if;
  return jsonb_build_object('owner', v_subscription.role_name, 'name', v_subscription.name, 'recipient', p_recipient,
    'ended', not lower(p_recipient) = any (select lower(trim(a)) from unnest(string_to_array(v_subscription.target, ',')) a));
end $$;

comment on function tinydev_impl.unsubscribe(bigint, text, text, boolean) is
$$Ends what a recipient of e-mail gets of a subscription, by the key that its messages carry; the last recipient pauses it. From then on its
owner can give this address to no subscription that has it not already. With p_dry_run tells only what it would be. Answers {"owner","name","recipient","ended"}, ended as it was before. Errors: TD404 subscription_not_found.$$;
