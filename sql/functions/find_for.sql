create or replace function tinydev_impl.find_for(p_role name, p_subscription_id bigint) returns tinydev_impl.subscription
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '3s'
as $$
declare
  v_subscription tinydev_impl.subscription;
begin
  select s.* into v_subscription from tinydev_impl.subscription s
   where s.subscription_id = p_subscription_id and (s.role_name = p_role or pg_has_role(p_role, 'tinydev_admin', 'member'))
     for no key update;
  if not found then
    perform tinydev_lib.fault(404, 'subscription_not_found', 'this subscription is gone', 'select * from tinydev.subscription lists what there is');
  end if;
  return v_subscription;
end $$;

comment on function tinydev_impl.find_for(name, bigint) is
$$Locks a subscription that a role may change: its own, for administrators everybody's. Errors: TD404 subscription_not_found.$$;
