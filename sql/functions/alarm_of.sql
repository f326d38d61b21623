create or replace function tinydev_impl.alarm_of(p_subscription tinydev_impl.subscription, p_event tinydev_impl.event) returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  select case
    -- It tells by itself of the first one since the last success.
    when p_event.type = 'delivery.dead_lettered' then null
    when not tinydev_impl.may_see_event(p_subscription.role_name, p_event.workspace, p_event.subject_id) then null
    when p_subscription.types is not null and not p_event.type like any (tinydev_lib.globs(p_subscription.types))
         and p_event.type not in (select tinydev_lib.recovery_of(t) from unnest(tinydev_lib.trouble_types()) t where t like any (tinydev_lib.globs(p_subscription.types))) then null
    when tinydev_lib.recovery_of(p_event.type) is not null
      then case when tinydev_impl.condition_holds(p_subscription.condition, tinydev_impl.visible_data(p_subscription.role_name, p_event.workspace, p_event.subject_id, p_event.data)) then true end
    when exists (select from unnest(tinydev_lib.trouble_types()) t
                  where tinydev_lib.recovery_of(t) = p_event.type and (p_subscription.types is null or t like any (tinydev_lib.globs(p_subscription.types)))) then false
    else tinydev_impl.condition_holds(p_subscription.condition, tinydev_impl.visible_data(p_subscription.role_name, p_event.workspace, p_event.subject_id, p_event.data))
  end
$$;

comment on function tinydev_impl.alarm_of(tinydev_impl.subscription, tinydev_impl.event) is
$$What an event means to a subscription that tells of trouble once: true raises the alarm, false ends it, null is neither. Types of trouble
raise it and their recovery ends it; of other types the condition does both.$$;
