create or replace function tinydev.describe_delivery(subscription text, delivery_id bigint) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_subscription tinydev.subscription := tinydev_lib.find_subscription(describe_delivery.subscription);
  v_delivery     tinydev.delivery;
begin
  select d.* into v_delivery from tinydev.delivery d
   where d.subscription_id = v_subscription.subscription_id and d.delivery_id = describe_delivery.delivery_id;
  if not found then
    perform tinydev_lib.fault(404, 'delivery_not_found', format('the subscription %s has no delivery %s', v_subscription.name, describe_delivery.delivery_id),
      'select delivery_id, state from tinydev.delivery lists them');
  end if;
  return to_jsonb(v_delivery) || jsonb_build_object(
    'type', 'tinydev.' || v_delivery.type,
    'attempts', (select coalesce(jsonb_agg(to_jsonb(a) - 'owner' - 'subscription' - 'subscription_id' - 'delivery_id' order by a.attempt), '[]') from tinydev.attempt a
                  where a.subscription_id = v_subscription.subscription_id and a.delivery_id = v_delivery.delivery_id),
    'event', (select tinydev_lib.cloud_event(e.position, e.type, e.subject, e.workspace, e.actor, e.occurred_at, e.data, tinydev_lib.event_source())
                from tinydev.event e where e.position = v_delivery.delivery_id));
end $$;

comment on function tinydev.describe_delivery(text, bigint) is
$$One delivery of a subscription of yours, with "attempts" (each with its time, status, latency, error, response and the next try) and "event" as
you may see it now. Errors: TD404 subscription_not_found, delivery_not_found.$$;
