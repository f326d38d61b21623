create or replace function tinydev_impl.fair_shares(p_server_id uuid) returns table (subscription_id bigint, version bigint, holder uuid, is_free boolean, servers uuid[], share bigint, held bigint)
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
  with live as (
    select v.server_id, v.kinds, v.commands from tinydev_impl.server v where v.lease_until > clock_timestamp()
  ), classes as (
    select c.kind, c.role_name, c.command, array(select v.server_id from live v where tinydev_impl.can_deliver(c.sample, v.kinds, v.commands) order by v.server_id) as servers
      from (select distinct on (s.kind, r.role_name, r.command) s.kind, r.role_name, r.command, s as sample
              from tinydev_impl.subscription s
             cross join lateral (select case when s.kind = 'command' then s.role_name else '' end as role_name, case when s.kind = 'command' then s.target else '' end as command) r
             where s.active) c
  )
  select s.subscription_id, s.version, s.holder, not exists (select from live v where v.server_id = s.holder), c.servers,
         ceil(count(*) over (partition by c.servers)::numeric / cardinality(c.servers))::bigint,
         count(*) filter (where s.holder = p_server_id) over (partition by c.servers)
    from tinydev_impl.subscription s
    join classes c on c.kind = s.kind and (s.kind <> 'command' or c.role_name = s.role_name and c.command = s.target)
   where s.active and p_server_id = any (c.servers)
$$;

comment on function tinydev_impl.fair_shares(uuid) is
$$The active subscriptions that a server can deliver, whether nobody delivers them, which servers can, and of those that the same servers can
deliver how many are one server's share and how many this one holds.$$;

create or replace function tinydev_impl.hold_subscriptions(
  p_server_id uuid, p_name text, p_kinds text[], p_commands jsonb, p_webhook_allow cidr[], p_lease_seconds double precision default 15
) returns table (subscription_id bigint, version bigint, wanted boolean)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_free    record;
  v_servers uuid[];
  v_room    bigint;
begin
  insert into tinydev_impl.server as v (server_id, name, lease_until, kinds, commands, webhook_allow)
  values (p_server_id, p_name, clock_timestamp() + make_interval(secs => p_lease_seconds), p_kinds, coalesce(p_commands, '{}'), coalesce(p_webhook_allow, '{}'))
  on conflict (server_id) do update set lease_until = excluded.lease_until;
  delete from tinydev_impl.server v
   where v.server_id in (select o.server_id from tinydev_impl.server o where o.lease_until < clock_timestamp() - interval '1 hour' for update skip locked);
  -- One by one: what another server or a user holds at the moment is passed over, and the next one fills the share.
  for v_free in
    select f.subscription_id, f.servers, f.share - f.held as room from tinydev_impl.fair_shares(p_server_id) f
     where f.is_free and f.held < f.share order by f.servers, f.subscription_id
  loop
    if v_free.servers is distinct from v_servers then
      v_servers := v_free.servers;
      v_room := v_free.room;
    end if;
    continue when v_room <= 0;
    update tinydev_impl.subscription s set holder = p_server_id
     where s.subscription_id = (
       select o.subscription_id from tinydev_impl.subscription o
        where o.subscription_id = v_free.subscription_id and o.active
          and not exists (select from tinydev_impl.server v where v.server_id = o.holder and v.lease_until > clock_timestamp())
          for no key update skip locked);
    if found then
      v_room := v_room - 1;
    end if;
  end loop;
  return query
    select s.subscription_id, s.version, coalesce(f.rank <= f.share, false)
      from tinydev_impl.subscription s
      left join (select m.subscription_id, m.share, row_number() over (partition by m.servers order by m.subscription_id) as rank
                   from tinydev_impl.fair_shares(p_server_id) m where m.holder = p_server_id) f using (subscription_id)
     where s.holder = p_server_id;
end $$;

comment on function tinydev_impl.hold_subscriptions(uuid, text, text[], jsonb, cidr[], double precision) is
$$Renews a server's lease, takes subscriptions that nobody delivers, up to its share, and gives all that it holds with the version of each; those
not wanted are paused, more than its share, or what it cannot deliver any more: the server ends its work on them and releases them.$$;

create or replace function tinydev_impl.next_lease_end(p_server_id uuid) returns double precision
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
  select date_part('epoch', min(v.lease_until) - clock_timestamp()) from tinydev_impl.server v where v.server_id <> p_server_id and v.lease_until > clock_timestamp()
$$;

comment on function tinydev_impl.next_lease_end(uuid) is
$$In how many seconds the lease of another server ends that does not renew it, the first one; null when there is no other.$$;

create or replace function tinydev_impl.release_subscriptions(p_server_id uuid, p_subscription_ids bigint[] default null) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if p_subscription_ids is null then
    delete from tinydev_impl.server v where v.server_id = p_server_id;
  end if;
  -- What a user's transaction holds is asked for again, or free without its server.
  update tinydev_impl.subscription s set holder = null
   where s.subscription_id in (select o.subscription_id from tinydev_impl.subscription o
                                where o.holder = p_server_id and (p_subscription_ids is null or o.subscription_id = any (p_subscription_ids))
                                  for no key update skip locked);
  perform tinydev_impl.wake_servers();
end $$;

comment on function tinydev_impl.release_subscriptions(uuid, bigint[]) is
$$Gives back subscriptions, for other servers to take at once; all of them, and the lease, when none are named. It waits for nobody.$$;
