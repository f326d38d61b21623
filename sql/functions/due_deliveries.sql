create or replace function tinydev_impl.due_deliveries(
  p_subscription_id bigint, p_busy_lanes text[], p_max_rows integer
) returns table ("position" bigint, lane text, type text, subject text, attempt_count integer, event text)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off  -- plans made of an empty table have to be good for millions
as $$
#variable_conflict use_column
declare
  v_role   name;
  v_round  integer;
  v_source text := tinydev_lib.event_source();
begin
  select s.role_name, s.round into v_role, v_round from tinydev_impl.subscription s where s.subscription_id = p_subscription_id;
  perform tinydev_impl.require_session(v_role);
  return query
    with heads as (
      select distinct on (d.lane) d.lane, d.position, d.next_attempt_at from tinydev_impl.delivery d
       where d.subscription_id = p_subscription_id and d.state in ('pending', 'failing') and d.lane <> all (p_busy_lanes)
       order by d.lane, d.position
    ), due as (
      select h.lane from heads h where coalesce(h.next_attempt_at, '-infinity') <= clock_timestamp() order by h.position limit p_max_rows
    )
    select d.position, d.lane, d.type, d.subject, case when d.round = v_round then d.attempt_count else 0 end,
           case when tinydev_impl.may_see_event(v_role, e.workspace, e.subject_id)
                then tinydev_lib.cloud_event_text(e.position, e.type, e.subject, e.workspace, e.actor, e.occurred_at, tinydev_impl.visible_data(v_role, e.workspace, e.subject_id, e.data), v_source) end
      from due u
      cross join lateral (select * from tinydev_impl.delivery o
                           where o.subscription_id = p_subscription_id and o.lane = u.lane and o.state in ('pending', 'failing')
                           order by o.position limit case u.lane when '' then p_max_rows else 100 end) d
      left join tinydev_impl.event e on e.position = d.position
     order by d.position
     limit p_max_rows;
end $$;

comment on function tinydev_impl.due_deliveries(bigint, text[], integer) is
$$Open deliveries whose turn it is, in the order of positions: of each lane that is not busy the first one when its time has come, and up to
99 that wait behind it, of a digest's lane (empty) all. event is null when it is gone, or the subscription's owner may no longer see it. Errors: TD403 not_a_user.$$;
