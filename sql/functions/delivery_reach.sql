create or replace function tinydev_lib.delivery_reach(kind text, target text) returns jsonb
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
  select jsonb_build_object(
    'servers', count(*),
    'served', coalesce(bool_or(delivery_reach.kind = any (v.kinds)), false),
    'kinds', (select coalesce(jsonb_agg(distinct k order by k), '[]') from tinydev_impl.server o, unnest(o.kinds) k where o.lease_until > clock_timestamp()),
    'command_users', (select o.commands -> delivery_reach.target from tinydev_impl.server o
                       where o.lease_until > clock_timestamp() and o.commands ? delivery_reach.target limit 1),
    'commands', (select coalesce(jsonb_agg(distinct c order by c), '[]') from tinydev_impl.server o, jsonb_object_keys(o.commands) c where o.lease_until > clock_timestamp()),
    'webhook_allow', (select coalesce(jsonb_agg(distinct a::text), '[]') from tinydev_impl.server o, unnest(o.webhook_allow) a where o.lease_until > clock_timestamp()))
  from tinydev_impl.server v where v.lease_until > clock_timestamp()
$$;

comment on function tinydev_lib.delivery_reach(text, text) is
$$What the servers that are up can deliver: whether one serves the kind, the kinds and commands there are, who may use the command named by
target, and the inner networks that webhooks may go to.$$;
