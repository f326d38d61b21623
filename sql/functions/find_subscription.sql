create or replace function tinydev_lib.find_subscription(subscription text) returns tinydev.subscription
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_found tinydev.subscription;
  v_at    integer := length(find_subscription.subscription) - coalesce(nullif(strpos(reverse(find_subscription.subscription), '.'), 0), length(find_subscription.subscription) + 1) + 1;
  v_owner name := case when v_at > 1 then trim(both '"' from left(find_subscription.subscription, v_at - 1)) else current_user end;
begin
  select s.* into v_found from tinydev.subscription s where s.owner = v_owner and s.name = substr(find_subscription.subscription, v_at + 1);
  if not found then
    perform tinydev_lib.fault(404, 'subscription_not_found', format('you have no subscription %s', coalesce(find_subscription.subscription, 'null')),
      'select owner, name from tinydev.subscription lists what there is');
  end if;
  return v_found;
end $$;

comment on function tinydev_lib.find_subscription(text) is
$$Finds a subscription by its name: yours, or for administrators another user's as owner.name. Errors: TD404 subscription_not_found.$$;
