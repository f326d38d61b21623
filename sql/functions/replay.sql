create or replace function tinydev.replay(subscription text, after_position bigint, dry_run boolean default false) returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_old    tinydev.subscription := tinydev_lib.find_subscription(replay.subscription);
  v_head   bigint;
  v_oldest bigint;
  v_answer jsonb;
begin
  select h.head, h.oldest into v_head, v_oldest from tinydev.event_head() h;
  if after_position is null or after_position < 0 then
    perform tinydev_lib.fault(422, 'position_invalid', 'say after which position to begin', '0 begins with the oldest event there is');
  elsif after_position > v_head then
    perform tinydev_lib.fault(409, 'position_ahead', format('the log ends at %s, before position %s', v_head, after_position), 'choose a position of the log',
      jsonb_build_object('head', v_head));
  elsif after_position < v_oldest - 1 and after_position > 0 then
    perform tinydev_lib.fault(409, 'position_gone', format('the log begins at %s, after position %s', v_oldest, after_position), format('begin after %s, or after 0', v_oldest - 1),
      jsonb_build_object('oldest', v_oldest));
  end if;
  if replay.dry_run then
    return tinydev_lib.plan(array[format('select tinydev.replay(%L, %s)', replay.subscription, after_position)]);
  end if;
  insert into tinydev_lib.own_request (role_name, verb, arguments)
  values (current_user, 'replay', jsonb_build_object('subscription_id', v_old.subscription_id, 'after', greatest(after_position, v_oldest - 1))) returning answer into v_answer;
  return v_answer || jsonb_build_object('name', v_old.name, 'owner', v_old.owner, 'warnings', to_jsonb(array_remove(array[
    case when not v_old.active then 'it is paused, and sends when it is let go on' end], null)));
end $$;

comment on function tinydev.replay(text, bigint, boolean) is
$$Puts a subscription's cursor back, or forward: all that fits and came after the position is sent, whether it was sent before or not, each
with its position as ever. Answers {"name":"hook","owner":"ann","position":41,"warnings":[]}; with dry_run {"sql":[…]}.
Errors: TD404 subscription_not_found; TD422 position_invalid; TD409 position_ahead, position_gone.$$;

create or replace function tinydev_impl.rewind(p_role name, p_arguments jsonb) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_old   tinydev_impl.subscription := tinydev_impl.find_for(p_role, (p_arguments ->> 'subscription_id')::bigint);
  v_after bigint := (select greatest(least((p_arguments ->> 'after')::bigint, h.position), 0) from tinydev_impl.head h);
begin
  -- Another round, in which what was delivered before does not count.
  update tinydev_impl.subscription s
     set round = s.round + 1, cursor_position = v_after, read_position = v_after, version = s.version + 1
   where s.subscription_id = v_old.subscription_id;
  perform tinydev_impl.wake_servers();
  return jsonb_build_object('position', v_after);
end $$;

comment on function tinydev_impl.rewind(name, jsonb) is 'What tinydev.replay does.';
