create or replace function tinydev_impl.hold_subscriptions(
  p_server_id uuid, p_name text, p_kinds text[], p_commands jsonb, p_webhook_allow cidr[]
) returns table (subscription_id bigint, version bigint, wanted boolean)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_share integer;
begin
  insert into tinydev_impl.server as v (server_id, name, lease_until, kinds, commands, webhook_allow)
  values (p_server_id, p_name, clock_timestamp() + interval '15 seconds', p_kinds, coalesce(p_commands, '{}'), coalesce(p_webhook_allow, '{}'))
  on conflict (server_id) do update set lease_until = excluded.lease_until;
  delete from tinydev_impl.server v
   where v.server_id in (select o.server_id from tinydev_impl.server o where o.lease_until < clock_timestamp() - interval '1 hour' for update skip locked);
  -- The same for each: servers that cannot deliver all leave some to the others.
  select ceil(count(*)::numeric / greatest((select count(*) from tinydev_impl.server v where v.lease_until > clock_timestamp()), 1)) into v_share
    from tinydev_impl.subscription s where s.active;
  update tinydev_impl.subscription s set holder = p_server_id
   where s.subscription_id in (
     select o.subscription_id from tinydev_impl.subscription o
      where o.active and tinydev_impl.can_deliver(o, p_kinds, p_commands)
        and not exists (select from tinydev_impl.server v where v.server_id = o.holder and v.lease_until > clock_timestamp())
      order by o.subscription_id
      limit greatest(v_share - (select count(*) from tinydev_impl.subscription m where m.holder = p_server_id and m.active), 0)
        for no key update skip locked);
  return query
    select s.subscription_id, s.version, s.active and row_number() over (order by not s.active, s.subscription_id) <= v_share
      from tinydev_impl.subscription s where s.holder = p_server_id;
end $$;

comment on function tinydev_impl.hold_subscriptions(uuid, text, text[], jsonb, cidr[]) is
$$Renews a server's lease for 15 seconds, takes subscriptions that nobody delivers, up to its share, and gives all that it holds with the
version of each; those not wanted are paused, or more than its share: the server ends its work on them and releases them.$$;

create or replace function tinydev_impl.release_subscriptions(p_server_id uuid, p_subscription_ids bigint[] default null) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  update tinydev_impl.subscription s set holder = null
   where s.holder = p_server_id and (p_subscription_ids is null or s.subscription_id = any (p_subscription_ids));
  if p_subscription_ids is null then
    delete from tinydev_impl.server v where v.server_id = p_server_id;
  end if;
  perform tinydev_impl.wake_servers();
end $$;

comment on function tinydev_impl.release_subscriptions(uuid, bigint[]) is
$$Gives back subscriptions, for other servers to take at once; all of them, and the lease, when none are named.$$;
