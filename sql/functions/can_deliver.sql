create or replace function tinydev_impl.can_deliver(p_subscription tinydev_impl.subscription, p_kinds text[], p_commands jsonb) returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  select p_subscription.kind = any (p_kinds)
     and (p_subscription.kind <> 'command' or tinydev_lib.may_run(p_subscription.role_name, p_commands -> p_subscription.target))
$$;

comment on function tinydev_impl.can_deliver(tinydev_impl.subscription, text[], jsonb) is
$$Whether a server with these kinds and commands can serve a subscription.$$;
