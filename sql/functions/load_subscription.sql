create or replace function tinydev_impl.load_subscription(p_subscription_id bigint, p_server_id uuid, p_random text) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_subscription tinydev_impl.subscription;
  v_oldest       bigint;
begin
  select s.* into v_subscription from tinydev_impl.subscription s
   where s.subscription_id = p_subscription_id and s.holder = p_server_id for no key update nowait;
  if not found then
    perform tinydev_lib.fault(409, 'lease_lost', format('another server delivers subscription %s', p_subscription_id));
  end if;
  perform tinydev_impl.require_session(v_subscription.role_name);
  if v_subscription.link_secret = '' then
    v_subscription.link_secret := p_random;
    update tinydev_impl.subscription s set link_secret = p_random where s.subscription_id = p_subscription_id;
  end if;
  select h.oldest into v_oldest from tinydev.event_head() h;
  if v_subscription.cursor_position < v_oldest - 1 then
    insert into tinydev_impl.inbox (type, subject, workspace, actor, data)
    values ('subscription.events_lost', format('%I.%s', v_subscription.role_name, v_subscription.name), v_subscription.role_name, 'tinydev_server',
      jsonb_build_object('from', v_subscription.cursor_position + 1, 'to', v_oldest - 1));
    update tinydev_impl.subscription s set cursor_position = v_oldest - 1, read_position = greatest(s.read_position, v_oldest - 1)
     where s.subscription_id = p_subscription_id
    returning * into v_subscription;
  end if;
  return jsonb_build_object(
    'owner', v_subscription.role_name, 'name', v_subscription.name, 'kind', v_subscription.kind, 'target', v_subscription.target,
    'types', v_subscription.types, 'subjects', v_subscription.subjects, 'attach', v_subscription.attach, 'attach_rows', v_subscription.attach_rows,
    'is_chosen', v_subscription.condition is not null or v_subscription.rearm <> 'each', 'options', v_subscription.options,
    'subject', format('%I.%s', v_subscription.role_name, v_subscription.name),
    'is_digest', v_subscription.digest_seconds > 0, 'timeout_seconds', v_subscription.timeout_seconds, 'link_secret', v_subscription.link_secret,
    'secrets', (select jsonb_agg(x.secret order by x.n) from (values (1, v_subscription.secret),
       (2, case when v_subscription.old_secret_until > clock_timestamp() then v_subscription.old_secret end)) x(n, secret) where x.secret is not null),
    'secrets_until', case when v_subscription.old_secret_until > clock_timestamp() then v_subscription.old_secret_until end,
    'round', v_subscription.round, 'version', v_subscription.version, 'position', v_subscription.cursor_position, 'read_position', v_subscription.read_position,
    'recoveries', (select coalesce(jsonb_agg(distinct tinydev_lib.recovery_of(t)), '[]') from unnest(tinydev_lib.trouble_types()) t
                    where v_subscription.rearm <> 'each' and (v_subscription.types is null or t like any (tinydev_lib.globs(v_subscription.types)))),
    'open_lanes', (select coalesce(jsonb_agg(distinct d.lane), '[]') from tinydev_impl.delivery d
                    where d.subscription_id = p_subscription_id and d.state in ('pending', 'failing')),
    'open_count', (select count(*) from tinydev_impl.delivery d where d.subscription_id = p_subscription_id and d.state in ('pending', 'failing')));
end $$;

comment on function tinydev_impl.load_subscription(bigint, uuid, text) is
$$All that the server that holds a subscription needs to deliver. When the log no longer reaches back to its cursor it goes on at the oldest
event, and tells its owner by subscription.events_lost. p_random becomes the secret of its unsubscribe links where it has none yet. Errors: TD409 lease_lost; TD403 not_a_user; 55P03 while
a user's transaction holds it.$$;
