create or replace function tinydev.redeliver(
  subscription  text,
  delivery_id   bigint  default null,
  from_position bigint  default null,
  to_position   bigint  default null,
  state         text    default null,
  dry_run       boolean default false
) returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_old    tinydev.subscription := tinydev_lib.find_subscription(redeliver.subscription);
  v_state  text := coalesce(redeliver.state, 'dead');
  v_answer jsonb;
begin
  if delivery_id is not null and (from_position is not null or to_position is not null or redeliver.state is not null) then
    perform tinydev_lib.fault(422, 'redelivery_invalid', 'delivery_id names one, and nothing else goes with it', 'name one, or a range and a state');
  end if;
  if v_state not in ('dead', 'failing', 'delivered', 'all') then
    perform tinydev_lib.fault(422, 'redelivery_invalid', format('%L is no state to deliver again', v_state), 'dead, failing, delivered or all');
  end if;
  if delivery_id is not null and not exists (select from tinydev.delivery d where d.subscription_id = v_old.subscription_id and d.delivery_id = redeliver.delivery_id) then
    perform tinydev_lib.fault(404, 'delivery_not_found', format('the subscription %s has no delivery %s', v_old.name, redeliver.delivery_id),
      'select delivery_id, state from tinydev.delivery lists them; tinydev.replay sends what has none');
  end if;
  if redeliver.dry_run then
    return tinydev_lib.plan(array[format('select tinydev.redeliver(%s)', concat_ws(', ', quote_literal(redeliver.subscription), 'delivery_id => ' || delivery_id,
      'from_position => ' || from_position, 'to_position => ' || to_position, 'state => ' || quote_literal(redeliver.state)))]);
  end if;
  insert into tinydev_lib.own_request (role_name, verb, arguments)
  values (current_user, 'redeliver', jsonb_build_object('subscription_id', v_old.subscription_id,
    'from', coalesce(delivery_id, from_position, 0), 'to', coalesce(delivery_id, to_position, 9223372036854775807), 'state', case when delivery_id is not null then 'all' else v_state end))
  returning answer into v_answer;
  return v_answer || jsonb_build_object('name', v_old.name, 'owner', v_old.owner, 'warnings', to_jsonb(array_remove(array[
    case when not v_old.active then 'it is paused, and sends when it is let go on' end], null)));
end $$;

comment on function tinydev.redeliver(text, bigint, bigint, bigint, text, boolean) is
$$Sends once more what a subscription was sent or given up: one delivery, or those of a range of positions in a state: dead (the default),
failing, delivered or all. Each gets the whole plan of attempts again; 10,000 a call at most, and "more" says that there are more.
Answers {"name":"hook","owner":"ann","redelivered":12,"more":false,"warnings":[]}; with dry_run {"sql":[…]}.
Example: select tinydev.redeliver('hook');  -- all that are dead
Errors: TD404 subscription_not_found, delivery_not_found; TD422 redelivery_invalid.$$;

create or replace function tinydev_impl.reopen(p_role name, p_arguments jsonb) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_old    tinydev_impl.subscription := tinydev_impl.find_for(p_role, (p_arguments ->> 'subscription_id')::bigint);
  v_states text[] := case p_arguments ->> 'state' when 'all' then array['dead', 'failing', 'delivered'] else array[p_arguments ->> 'state'] end;
  v_count  bigint;
  v_more   boolean;
begin
  with chosen as (
    select d.position from tinydev_impl.delivery d
     where d.subscription_id = v_old.subscription_id and d.position between (p_arguments ->> 'from')::bigint and (p_arguments ->> 'to')::bigint
       and d.state = any (v_states)
     order by d.position limit 10001
  ), reopened as (
    update tinydev_impl.delivery d
       set state = 'pending', attempt_count = 0, next_attempt_at = clock_timestamp(),
           attempts = tinydev_impl.last_of(d.attempts || coalesce(tinydev_lib.last_attempt(d), '[]'), 49),
           last_attempt_at = null, status_code = null, latency_ms = null, error = null, response = null
     where d.subscription_id = v_old.subscription_id and d.position in (select c.position from chosen c order by c.position limit 10000)
    returning d.position
  )
  select (select count(*) from reopened), (select count(*) from chosen) > 10000 into v_count, v_more;
  update tinydev_impl.subscription s set version = s.version + 1 where s.subscription_id = v_old.subscription_id;
  perform tinydev_impl.wake_servers();
  return jsonb_build_object('redelivered', v_count, 'more', v_more);
end $$;

comment on function tinydev_impl.reopen(name, jsonb) is 'What tinydev.redeliver does.';
