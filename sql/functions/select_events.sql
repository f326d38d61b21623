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
  v_began        timestamptz;
  v_before       record;
begin
  select s.* into v_subscription from tinydev_impl.subscription s where s.subscription_id = p_subscription_id;
  -- Its condition belongs to other types and subjects than those that let these through.
  if v_subscription.version is distinct from p_version then
    return null;
  end if;
  for v_event in
    select e.position, e.type, e.subject, e.occurred_at, tinydev_impl.visible_data(v_subscription.role_name, e.workspace, e.data) as data
      from tinydev_impl.event e
     where e.position = any (p_positions)
       and not exists (select from tinydev_impl.delivery d where d.subscription_id = p_subscription_id and d.position = e.position and d.round = v_subscription.round)
     order by e.position
  loop
    if v_event.type <> 'subscription.tested' then
      if v_subscription.rearm = 'each' then
        continue when not tinydev_impl.condition_holds(v_subscription.condition, v_event.data);
      else
        -- From the log alone, so that a crash or a replay chooses the same.
        select e.* into v_row from tinydev_impl.event e where e.position = v_event.position;
        v_alarm := tinydev_impl.alarm_of(v_subscription, v_row);
        continue when v_alarm is null;
        select a.alarm, a.occurred_at into v_before
          from (select tinydev_impl.alarm_of(v_subscription, e) as alarm, e.occurred_at, e.position from tinydev_impl.event e
                 where e.subject = v_event.subject and e.position < v_event.position order by e.position desc) a
         where a.alarm is not null limit 1;
        if v_alarm and v_before.alarm and v_subscription.rearm = 'every' then
          -- The alarm's first event begins its time; of each rearm_seconds after it the first one is told.
          select a.occurred_at into v_began
            from tinydev_impl.event a
           where a.subject = v_event.subject and a.position <= v_event.position
             and a.position > coalesce((select e.position from tinydev_impl.event e
                                         where e.subject = v_event.subject and e.position < v_event.position and tinydev_impl.alarm_of(v_subscription, e) = false
                                         order by e.position desc limit 1), 0)
             and tinydev_impl.alarm_of(v_subscription, a)
           order by a.position limit 1;
          continue when floor(date_part('epoch', v_event.occurred_at - v_began) / v_subscription.rearm_seconds)
                      = floor(date_part('epoch', v_before.occurred_at - v_began) / v_subscription.rearm_seconds);
        elsif v_alarm then
          continue when v_before.alarm;
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
