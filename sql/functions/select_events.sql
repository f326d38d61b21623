create or replace function tinydev_impl.select_events(p_subscription_id bigint, p_version bigint, p_positions bigint[]) returns bigint[]
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off  -- plans made of an empty table have to be good for millions
as $$
declare
  v_subscription tinydev_impl.subscription;
  v_chosen       bigint[] := '{}';
  v_event        record;
  v_alarm        boolean;
  v_row          tinydev_impl.event;
  v_types        text[];  -- of events that raise or end an alarm; null is all
  v_seen         jsonb := '{}';
  v_prior        jsonb;
  v_before       record;
begin
  select s.* into v_subscription from tinydev_impl.subscription s where s.subscription_id = p_subscription_id;
  -- Its condition belongs to other types and subjects than those that let these through.
  if v_subscription.version is distinct from p_version then
    return null;
  end if;
  if v_subscription.rearm <> 'each' and v_subscription.types is not null then
    v_types := tinydev_lib.globs(v_subscription.types);
    v_types := v_types || array(select tinydev_lib.recovery_of(t) from unnest(tinydev_lib.trouble_types()) t where t like any (v_types));
  end if;
  for v_event in
    select e.position, e.type, e.subject, e.occurred_at, tinydev_impl.visible_data(v_subscription.role_name, e.workspace, e.subject_id, e.data) as data
      from tinydev_impl.event e
     where e.position = any (p_positions)
       and not exists (select from tinydev_impl.delivery d where d.subscription_id = p_subscription_id and d.position = e.position and d.round = v_subscription.round)
     order by e.position
  loop
    if v_event.type <> 'subscription.tested' then
      if v_subscription.rearm = 'each' or v_event.type = 'delivery.dead_lettered' then
        continue when not tinydev_impl.condition_holds(v_subscription.condition, v_event.data);
      else
        -- From the log alone, so that a crash or a replay chooses the same: back to the last event of the subject that counts, but not
        -- further than to the one that was chosen or left out just now, and over no more than 1,000 that do not count.
        select e.* into v_row from tinydev_impl.event e where e.position = v_event.position;
        v_alarm := tinydev_impl.alarm_of(v_subscription, v_row);
        continue when v_alarm is null;
        v_prior := v_seen -> v_event.subject;
        select a.alarm, a.occurred_at into v_before
          from (select tinydev_impl.alarm_of(v_subscription, e) as alarm, e.occurred_at from tinydev_impl.event e
                 where e.subject = v_event.subject and e.position < v_event.position and e.position > coalesce((v_prior ->> 'position')::bigint, 0)
                   and (v_types is null or e.type like any (v_types))
                 order by e.position desc limit 1000) a
         where a.alarm is not null limit 1;
        if not found and v_prior is not null then
          select (v_prior ->> 'alarm')::boolean, (v_prior ->> 'occurred_at')::timestamptz into v_before.alarm, v_before.occurred_at;
        end if;
        v_seen := v_seen || jsonb_build_object(v_event.subject, jsonb_build_object('position', v_event.position, 'alarm', v_alarm, 'occurred_at', v_event.occurred_at));
        if v_alarm then
          -- Every: the first one of each further rearm_seconds, counted from 1970.
          continue when v_before.alarm and (v_subscription.rearm = 'once'
            or floor(date_part('epoch', v_event.occurred_at) / v_subscription.rearm_seconds) = floor(date_part('epoch', v_before.occurred_at) / v_subscription.rearm_seconds));
        else
          -- The end is told where the subscription has its type, and not by the condition that began it.
          continue when v_before.alarm is not true or tinydev_lib.recovery_of(v_event.type) is null
            and not exists (select from unnest(tinydev_lib.trouble_types()) t where tinydev_lib.recovery_of(t) = v_event.type)
            or v_subscription.types is not null and not v_event.type like any (tinydev_lib.globs(v_subscription.types));
        end if;
      end if;
    end if;
    v_chosen := v_chosen || v_event.position;
  end loop;
  return v_chosen;
end $$;

comment on function tinydev_impl.select_events(bigint, bigint, bigint[]) is
$$Of events that fit a subscription's types and subjects those that are to be delivered: not yet dealt with in this round, and let through by
its condition and rearm. Null when it is not of p_version any more.$$;
