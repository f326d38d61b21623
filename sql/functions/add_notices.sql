create or replace function tinydev_impl.add_notices(p_role name) returns void
language sql security definer
set search_path = pg_catalog, pg_temp
as $$
  insert into tinydev_impl.subscription (role_name, name, kind, types, rearm, active, paused_at, pause_reason, cursor_position, read_position)
  select p_role, 'notices', 'email', array['view.failed', 'view.missed', 'view.refreshed', 'subscription.paused', 'subscription.resumed', 'delivery.dead_lettered'], 'once', false, clock_timestamp(), 'no_target', h.position, h.position
    from tinydev_impl.head h
  on conflict (role_name, name) do nothing
$$;

grant execute on function tinydev_impl.add_notices(name) to tinydev_roles;

comment on function tinydev_impl.add_notices(name) is
$$Gives a new user the subscription "notices": the first failure of a refresh, the recovery, and a missed run, and what keeps other
subscriptions from delivering, by e-mail, as soon as it has an address: tinydev.alter_subscription('notices', target => 'ann@example.org').$$;
