-- plpgsql keeps the plan from call to call, which a function in SQL makes anew each time: 0.06 instead of 0.33 ms.
create or replace function tinydev_impl.read_events_as(
  p_role name, p_after bigint, p_max_rows integer
) returns table ("position" bigint, type text, subject text, event text)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
  v_source text := tinydev_lib.event_source();
begin
  return query
    select e.position, e.type, e.subject,
           tinydev_lib.cloud_event_text(e.position, e.type, e.subject, e.workspace, e.actor, e.occurred_at,
             tinydev_impl.visible_data(p_role, e.workspace, e.subject_id, e.data), v_source)
      from tinydev_impl.event e
     where e.position > p_after and e.position <= p_after + 100000 and tinydev_impl.may_see_event(p_role, e.workspace, e.subject_id)
     order by e.position
     limit p_max_rows;
end $$;

comment on function tinydev_impl.read_events_as(name, bigint, integer) is
$$The events after p_after that a role may see, among the next 100,000 positions; for the relay, which serves many roles.$$;
